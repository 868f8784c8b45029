"""sweep.png can be read: trials are whole numbers, and no line crosses the values at the axes."""

import contextlib

import pytest

from xnn.sweeps import picture
from xnn.sweeps.sweep import Definition, Sweep

optuna = pytest.importorskip("optuna", reason="a sweep needs optuna")

SPACE = {"lr": "log:0.001..0.1", "hidden": "16,32,64", "momentum": "0.5..0.9"}


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Return a function that draws a sweep with scores, and returns its figure."""
    figures = []
    plain_figure = picture.plain_figure

    @contextlib.contextmanager
    def kept(size):
        with plain_figure(size) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(picture, "plain_figure", kept)

    def draw(scores):
        folder = tmp_path / str(len(figures))
        with Sweep.opened(folder, folder / "study.journal", Definition({"epochs": 3}, SPACE)) as sweep:
            for number, score in enumerate(scores):
                params = {"lr": 0.001 + number / 1000, "hidden": (16, 32, 64)[number % 3], "momentum": 0.7}
                trial = {"params": params, "distributions": sweep.space.distributions, "value": score}
                sweep.study.add_trial(optuna.create_trial(**trial))
            picture.draw(sweep)
        return figures[-1]

    return draw


@pytest.mark.parametrize("count", [1, 20])
def test_trials_are_counted_in_whole_numbers(drawn, count):
    history = drawn([0.9 - 0.01 * number for number in range(count)]).subfigs[0].axes[0]
    ticks = history.get_xticks()
    assert len(ticks)
    assert all(tick == round(tick) for tick in ticks), ticks


def test_values_stand_on_a_box_over_the_lines(drawn):
    parallel = drawn([0.5, 0.9, 0.7, 0.6]).subfigs[1].axes[0]
    assert [text.get_text() for text in parallel.texts] == ["0.001", "0.1", "16", "32", "64", "0.5", "0.9", "50", "90"]
    for text in parallel.texts:
        box = text.get_bbox_patch()
        assert box.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
        assert all(text.get_zorder() > line.get_zorder() for line in parallel.get_lines())

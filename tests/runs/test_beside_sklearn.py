"""Both libraries get the same network, data and settings."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from xnn.data.png import png
from xnn.errors import SettingError, UserError
from xnn.runs import Settings
from xnn.runs.beside_sklearn import Entrant, classifier_class, compare, markdown, plain_settings

FAST = {"hidden": 8, "epochs": 3, "batch_size": 32, "backend": "numpy"}

needs_sklearn = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")


class Recorder:
    """A classifier that notes what it was made with and given, and answers 0."""

    loss_ = 1.0

    def __init__(self, hidden, **options):
        Recorder.made = {"hidden": hidden, **options}

    def fit(self, x, labels):
        Recorder.given = (x, labels)

    def predict(self, x):
        return np.zeros(len(x), int)


@needs_sklearn
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"model": "mlp"}, {"hidden": (8, 8), "solver": "adam", "learning_rate_init": 1e-3, "alpha": 0.0}),
        ({"model": "mlp", "optimizer": "sgd"}, {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True}),
        ({"model": "mlp", "lr": 0.5, "l2": 0.25}, {"learning_rate_init": 0.5, "alpha": 8.0}),
        (
            {"model": "lab6"},
            {"hidden": (8,), "solver": "sgd", "learning_rate_init": 1e-3, "nesterovs_momentum": False, "alpha": 0.032},
        ),
        ({"model": "lab6", "l2": 0.25}, {"alpha": 8.0}),
        ({"model": "lab6", "seed": 7, "optimizer": "adam"}, {"solver": "adam", "random_state": 7}),
    ],
)
def test_scikit_learn_is_given_what_xnn_trains_by(monkeypatch, settings, expected):
    monkeypatch.setattr("xnn.runs.beside_sklearn.classifier_class", lambda: Recorder)
    entrants = compare(Settings(**(FAST | {"epochs": 1} | settings)))
    assert expected.items() <= Recorder.made.items()
    assert Recorder.made["batch_size"] == 32
    assert Recorder.made["max_iter"] == 1
    x, labels = Recorder.given
    assert (x.shape, x.dtype, labels.shape) == ((1437, 64), np.float32, (1437,))
    assert x.mean() == pytest.approx(0.0, abs=1e-4)
    assert x.std() == pytest.approx(1.0, abs=1e-4)
    assert entrants[1].accuracy == pytest.approx(0.1, abs=0.02)
    assert [entrant.name for entrant in entrants][2:] == (["xnn, --model mlp"] if settings["model"] == "mlp" else [])


@needs_sklearn
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_both_learn_the_digits_alike(optimizer):
    lines = []
    settings = Settings(model="mlp", optimizer=optimizer, **(FAST | {"hidden": 64}))
    ours, theirs, own = compare(settings, lines.append)
    assert ours.network == theirs.network == "64-64-64-10"
    for entrant in (ours, theirs, own):
        assert entrant.accuracy > 0.85
        assert entrant.seconds > 0
    assert abs(ours.accuracy - theirs.accuracy) < 0.06
    assert ours.train_loss == pytest.approx(theirs.train_loss, abs=0.25)
    assert (
        lines[1] == f"both: 64-64-64-10 with ReLU, {optimizer}, step size {0.05 if optimizer == 'sgd' else 0.001:g}, "
        "batches of 32, 3 epochs"
    )


@needs_sklearn
@pytest.mark.parametrize("model", ["lab6", "mlp"])
def test_the_steps_before_the_clock_starts_leave_no_trace(monkeypatch, model):
    monkeypatch.setattr("xnn.runs.beside_sklearn.classifier_class", lambda: Recorder)
    first = compare(Settings(model=model, **FAST))[-1 if model == "mlp" else 0]
    monkeypatch.setattr("xnn.runs.beside_sklearn._compile", lambda job: None)
    second = compare(Settings(model=model, **FAST))[-1 if model == "mlp" else 0]
    assert first.name.startswith("xnn")
    assert (first.accuracy, first.train_loss) == (second.accuracy, second.train_loss)


def test_without_scikit_learn_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    with pytest.raises(UserError, match=r"pip install '\.\[compare\]'"):
        classifier_class()


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"model": "cnn"}, "--model cnn"), ({"model": "ml"}, "mlp"), ({"optimizer": "adamw"}, "--optimizer adamw")],
)
def test_what_scikit_learn_has_not_is_refused(settings, word):
    with pytest.raises(SettingError, match=word):
        plain_settings(Settings(**({"model": "mlp"} | settings)))


def test_the_markdown_table():
    assert markdown([Entrant("xnn", "64-8-10", 1.234, 0.5, 0.987)]).splitlines()[2] == (
        "| xnn | 64-8-10 | 1.23 | 0.5000 | 98.70 % |"
    )


@needs_sklearn
def test_both_see_one_view_of_a_test_image_and_the_model_as_it_is_says_how_many(monkeypatch, tmp_path):
    """scikit-learn has no views; the recipe of colour images has six."""
    monkeypatch.setattr("xnn.runs.beside_sklearn.classifier_class", lambda: Recorder)
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    for number in range(20):
        path = tmp_path / "folder" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(np.full((8, 8, 3), 12 * number, np.uint8)))
    lines = []
    entrants = compare(Settings(model="mlp", dataset=str(tmp_path / "folder"), **(FAST | {"epochs": 1})), lines.append)
    assert [entrant.test_views for entrant in entrants] == [1, 1, 6]
    assert [line.count("% of the test images, 6 views, ") for line in lines[-3:]] == [0, 0, 1]
    assert [line.count("views") for line in markdown(entrants).splitlines()] == [0, 0, 0, 0, 1]

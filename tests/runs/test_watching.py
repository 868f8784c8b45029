"""What a run writes for TensorBoard, and what it shows in a notebook."""

import re
import sys
from types import SimpleNamespace

import pytest

from tests.markup import Page
from xnn.errors import SettingError
from xnn.runs import Settings
from xnn.runs.run import resume, train
from xnn.runs.saving import Checkpoint
from xnn.training import Callback

pytestmark = pytest.mark.usefixtures("undrawn")

REASON = "TensorBoard is not installed"
QUICK = {"model": "mlp", "hidden": 8, "epochs": 2, "log_every": 10}


def read(directory):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=REASON)
    return accumulator.EventAccumulator(str(directory), size_guidance={"images": 0}).Reload()


def steps(directory, tag="loss/train"):
    return [event.step for event in read(directory).Scalars(tag)]


class Kill(Callback):
    def __init__(self, step):
        self.step = step

    def step_end(self, trainer):
        if trainer.step == self.step:
            raise RuntimeError("a test")


def test_a_run_writes_its_events_beside_its_other_files(tmp_path):
    pytest.importorskip("tensorboard", reason=REASON)
    result = train(Settings(**QUICK, tensorboard=True, run_dir=str(tmp_path / "run")))
    reader = read(tmp_path / "run")
    assert [event.value for event in reader.Scalars("accuracy/test")] == pytest.approx(
        result.history.column("test_accuracy")
    )
    assert len(reader.Images("mistakes")) == 2
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["model"].string_value == "mlp"
    assert values["hidden"].number_value == 8
    assert "run_dir" not in values


@pytest.mark.parametrize("killed_at", [5, 23, 30, 46])
def test_a_resumed_run_has_each_step_once(tmp_path, killed_at):
    pytest.importorskip("tensorboard", reason=REASON)
    settings = Settings(**QUICK, tensorboard=True, run_dir=str(tmp_path / "run"), checkpoint_every="20")
    with pytest.raises(RuntimeError, match="a test"):
        train(settings, callbacks=[Kill(killed_at)])
    resume(tmp_path / "run")
    train(Settings(**QUICK, tensorboard=True, run_dir=str(tmp_path / "whole")))
    for tag in ("loss/train", "interval/minibatch_loss"):
        whole, resumed = (
            [(event.step, event.value) for event in read(tmp_path / name).Scalars(tag)] for name in ("whole", "run")
        )
        assert resumed == whole


def test_nothing_of_an_epoch_is_lost_where_a_kill_follows_its_checkpoint(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason=REASON)
    original = Checkpoint.save

    def save_and_die(checkpoint, trainer):
        original(checkpoint, trainer)
        raise RuntimeError("a test")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(RuntimeError, match="a test"):
            train(Settings(**QUICK, tensorboard=True, run_dir=str(tmp_path / "run")))
    resume(tmp_path / "run")
    assert [event.step for event in read(tmp_path / "run").Images("mistakes")] == steps(tmp_path / "run")
    assert len(steps(tmp_path / "run")) == 2


def test_a_run_can_begin_to_write_events_when_it_is_resumed(tmp_path):
    pytest.importorskip("tensorboard", reason=REASON)
    train(Settings(**QUICK, run_dir=str(tmp_path / "run")))
    assert not list((tmp_path / "run").glob("events*"))
    batches = resume(tmp_path / "run", epochs=3, tensorboard=True)
    each = steps(tmp_path / "run")
    assert each == [each[0], 2 * each[0], 3 * each[0]]
    assert batches.values["epochs"] == 3


def test_events_change_nothing_of_the_model(tmp_path):
    pytest.importorskip("tensorboard", reason=REASON)
    for name in (True, False):
        train(Settings(**QUICK, tensorboard=name, run_dir=str(tmp_path / f"{name}")))
    models = [(tmp_path / f"{name}" / "model.safetensors").read_bytes() for name in (True, False)]
    assert models[0] == models[1]


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(SettingError, match=r"^--tensorboard: needs TensorBoard"):
        train(Settings(**QUICK, tensorboard=True, run_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_notebook_shows_a_run_unless_it_is_to_be_quiet(tmp_path, monkeypatch, quiet):
    shown = []
    handle = SimpleNamespace(update=lambda bundle, raw: shown.append(bundle))

    def display(bundle, **options):
        shown.append(bundle)
        return handle

    shell = SimpleNamespace(kernel=object())
    # Matplotlib looks at the version where it draws for the first time.
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0)))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    result = train(Settings(**QUICK, quiet=quiet, run_dir=str(tmp_path / "<b>run")))
    assert bool(shown) != quiet
    if shown:
        assert "epoch 2/2" in shown[-1]["text/plain"]
    page = Page(result._repr_html_())
    assert "<b>run: test accuracy" in page.texts[0]
    assert len(page.images()) == 1


class StopAfterOne(Callback):
    def epoch_end(self, trainer, row):
        trainer.request_stop("SIGTERM", to_resume=True)


def test_a_notebook_says_of_a_run_what_became_of_it(tmp_path):
    def told(result):
        return Page(result._repr_html_()).texts[0].partition("run: ")[2]

    result = train(Settings(**QUICK, run_dir=str(tmp_path / "run")), callbacks=[StopAfterOne()], test=False)
    assert told(result) == "the run was stopped; resume it"
    assert told(resume(tmp_path / "run", test=False)) == "trained, not tested; resume it for its test accuracy"
    whole = resume(tmp_path / "run")
    assert re.fullmatch(r"test accuracy [\d.]+ %, in [\d.]+ s", told(whole))
    # The file of an earlier version, or of somebody else's.
    for name, left in {"seconds": r"test accuracy [\d.]+ %", "test_accuracy": "complete"}.items():
        del whole.values[name]
        assert re.fullmatch(left, told(whole))

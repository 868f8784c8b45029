"""``--config``: settings from a file, below those of the flags; a file is read and never trusted."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.commands import refusal_by
from xnn.cli.arguments import parse
from xnn.cli.config import read_config
from xnn.cli.train import main
from xnn.errors import SettingError
from xnn.runs.settings import FIELDS, Settings

assert_refused = refusal_by(main)

SAMPLES = {
    "model": st.sampled_from(["mlp", "cnn"]),
    "epochs": st.integers(1, 50),
    "lr": st.floats(1e-5, 1.0),
    "batch_size": st.integers(1, 500),
    "augment": st.lists(st.sampled_from(["flip", "crop"]), min_size=1, unique=True),
    "keep_best": st.booleans(),
    "dataset": st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=10),
    "validation": st.sampled_from([0.1, 0.25]),
    "from_": st.just("runs/before"),
}


def toml(values):
    return "\n".join(f"{name.rstrip('_')} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


@given(
    values=st.fixed_dictionaries({}, optional=SAMPLES),
    flags=st.fixed_dictionaries({}, optional={"epochs": st.integers(1, 50), "lr": st.floats(0.1, 1.0)}),
)
def test_a_files_settings_are_those_of_flags_and_flags_win(tmp_path_factory, values, flags):
    folder = tmp_path_factory.mktemp("config")
    (folder / "it.json").write_text(json.dumps(values))
    (folder / "it.toml").write_text(toml(values), encoding="utf-8")
    typed = [f"--{name}={value}" for name, value in flags.items()]
    wanted = Settings(**{**values, **flags})
    for name in ("it.json", "it.toml"):
        assert parse([f"--config={folder / name}", *typed]).settings == wanted


def test_the_config_of_a_run_trains_it_again(tmp_path, capsys):
    small = ["--model", "mlp", "--hidden", "4", "--epochs", "1", "--batch-size", "200", "--backend", "numpy"]
    assert main([*small, "--run-dir", str(tmp_path / "first")]) == 0
    again = ["--config", str(tmp_path / "first" / "config.json"), "--run-dir", str(tmp_path / "second")]
    assert main(again) == 0
    assert main([*again[:3], str(tmp_path / "third"), "--seed", "1"]) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second", "third")]
    assert weights[0] == weights[1] != weights[2]
    assert_refused(capsys, [*again[:2], "--resume", str(tmp_path / "first")], "--config", "--resume")


def test_what_an_earlier_version_did_not_write_is_what_it_did(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model": "cnn", "run_dir": "runs/old"}')
    assert parse(["--config", str(path)]).settings == Settings(model="cnn", shrink=1)
    path.write_text('{"model": "cnn"}')
    assert parse(["--config", str(path)]).settings == Settings(model="cnn")


@pytest.mark.parametrize(
    ("content", "flags", "wanted"),
    [
        ('recipe = "mlp"', ["--model", "cnn"], {"model": "cnn"}),
        ('model = "mlp"', ["--recipe", "cnn"], {"recipe": "cnn"}),
        ("momentum = 0.9", ["--optimizer", "adam"], {"optimizer": "adam"}),
        ("momentum = 0.9", ["--optimizer", "sgd"], {"optimizer": "sgd", "momentum": 0.9}),
        ("batch-size = 3", [], {"batch_size": 3}),
    ],
)
def test_what_does_not_go_with_a_flag_gives_way(tmp_path, content, flags, wanted):
    (tmp_path / "it.toml").write_text(content)
    assert parse(["--config", str(tmp_path / "it.toml"), *flags]).settings == Settings(**wanted)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("it.toml", b"epocs = 3", "unknown setting 'epocs'. Did you mean 'epochs'"),
        ("it.json", b'{"epocs": 3}', "unknown setting 'epocs'. Did you mean 'epochs'"),
        ("it.toml", b'epochs = "3"', "--epochs '3': expected a whole number"),
        ("it.toml", b"lr = nan", "finite"),
        ("it.toml", b"lr = -1", "expected a number above 0"),
        ("it.toml", b"epochs = 1979-05-27", "a whole number"),
        ("it.toml", b"[search]\nlr = '0.1..0.2'", "for xnn-sweep"),
        ("it.toml", b"[model]\nname = 'x'", "--model"),
        ("it.toml", b"epochs = ", "is no TOML"),
        ("it.toml", b"\xff", "is no TOML"),
        ("it.toml", b"a = " + b"[" * 50_000, "is no TOML"),
        ("it.json", b"[" * 50_000, "is no JSON"),
        ("it.json", b"[1]", "expected settings by name"),
        ("it.json", b'{"lr": NaN}', "is no JSON"),
        ("it.txt", b"epochs = 3", "nor does its name end in .toml"),
        ("it.toml", b"#" * (2**20 + 1), "larger than"),
        ("it.toml", b'dataset = "torchvision:MNIST"\ndata-dir = "x"', "name it again with --data-dir"),
    ],
)
def test_other_files_are_refused_in_a_line(tmp_path, capsys, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert_refused(capsys, ["--config", str(tmp_path / name)], "--config", words)


def test_a_file_that_cannot_be_read_is_refused(tmp_path, capsys):
    assert_refused(capsys, ["--config", str(tmp_path / "none.toml")], "cannot be read")
    assert_refused(capsys, ["--config", str(tmp_path)], "is a folder")


@given(content=st.binary(max_size=60) | st.dictionaries(st.sampled_from(list(FIELDS)), st.integers()).map(repr))
def test_no_content_does_more_than_be_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("config")
    for name in ("it.toml", "it.json"):
        (path / name).write_bytes(content if isinstance(content, bytes) else content.replace("'", '"').encode())
        with contextlib.suppress(SettingError):
            assert set(read_config(str(path / name)).settings) <= set(FIELDS)

"""A model that was saved is loaded as it was, and a file that is anything else is refused in one line."""

import json
import subprocess
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

import xnn
from tests.hostile import tensors as mutated
from tests.nn.examples import EXAMPLES
from xnn import nn, optim
from xnn.errors import RunError
from xnn.testing.strategies import networks


def trained(model, shape, backend, **options):
    """Return the model, built, after a step, so that nothing in it is as it was drawn."""
    model.build(shape, backend=backend, seed=5, **options)
    x = backend.asarray(np.random.default_rng(1).standard_normal((4, *shape)), dtype=model.dtype)
    y, pullback = model.forward(x, train=True)
    pullback(backend.xp.ones_like(y), input_gradient=False)
    optim.SGD(model, lr=0.01).step()
    return model, x


def check(model, x, path, backend):
    model.save(path)
    twin = xnn.load(path, backend)
    assert type(twin) is type(model)
    assert (twin.dtype, twin.precision, twin.input_shape) == (model.dtype, model.precision, model.input_shape)
    assert twin.backend == backend
    for (name, value), (other, expected) in zip(twin.state_dict().items(), model.state_dict().items(), strict=True):
        assert name == other
        np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(backend.to_numpy(twin(x)), backend.to_numpy(model(x)))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_gives_the_same_outputs(example, backend, dtype, tmp_path):
    model, x = trained(example.make(), example.input_shape, backend, dtype=dtype)
    check(model, x, tmp_path / "model.safetensors", backend)


@given(case=networks(smooth=False), dtype=st.sampled_from(["float32", "float64"]))
def test_every_network_gives_the_same_outputs(case, dtype, backend, tmp_path_factory):
    network, shape = case
    model, x = trained(network, shape, backend, dtype=dtype)
    check(model, x, tmp_path_factory.mktemp("models") / "x", backend)


def small(**options):
    layers = nn.Conv2d(3, 2, padding=1), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(2)
    return nn.Sequential(*layers).build((4, 4, 1), backend="numpy", **options)


def test_a_precision_is_kept_where_it_is_offered(backend, tmp_path):
    if "float16" not in backend.precisions:
        pytest.skip(f"{backend.name} offers no float16")
    model, x = trained(nn.Sequential(nn.Linear(3), nn.ReLU(), nn.Linear(2)), (4,), backend, precision="float16")
    check(model, x, tmp_path / "half", backend)


def test_a_precision_that_is_not_offered_becomes_float32(tmp_path, caplog):
    pytest.importorskip("array_api_strict")
    small(precision="float16").save(tmp_path / "half")
    model = xnn.load(tmp_path / "half", "array_api_strict")
    assert model.precision == "float32"
    assert "its precision float16 is not offered by array_api_strict" in caplog.text


def test_a_loaded_model_trains_on(tmp_path):
    model = small()
    model.save(tmp_path / "model")
    twin = xnn.load(tmp_path / "model", "numpy")
    x = np.random.default_rng(0).standard_normal((4, 4, 4, 1)).astype("float32")
    for one in (model, twin):
        y, pullback = one.forward(x, train=True)
        pullback(y, input_gradient=False)
        optim.SGD(one, lr=0.1).step()
    np.testing.assert_array_equal(twin.parameters.flat, model.parameters.flat)
    np.testing.assert_array_equal(twin.buffers.flat, model.buffers.flat)


def test_others_can_read_the_file(tmp_path):
    model = small()
    model.save(tmp_path / "model.safetensors")
    arrays = load_file(tmp_path / "model.safetensors")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(arrays[name], value)
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        said = json.loads(file.metadata()["xnn"])
    assert said["architecture"]["layer"] == "Sequential"
    assert (said["input_shape"], said["dtype"], said["precision"]) == ([4, 4, 1], "float32", "float32")


class Scale(nn.Layer):
    """A layer of a user's own."""

    def __init__(self, power=1):
        self.power = power

    def initialize(self, shape):
        self.scale = self.parameter("scale", shape[-1:], nn.initializers.ones, decay=False)
        return shape

    def forward(self, x, train=False):
        def pullback(dy, needs):
            return dy * self.scale.value**self.power, dy.sum(0)

        return self.connect((x * self.scale.value**self.power, pullback), self.scale)


OTHER_PROGRAM = """
import numpy as np, xnn
from xnn import nn
try:
    xnn.load({path!r}, "numpy")
except ValueError as error:
    print(error)

class Scale(nn.Layer):
    def __init__(self, power):
        self.power = power
    def initialize(self, shape):
        self.scale = self.parameter("scale", shape[-1:], nn.initializers.ones, decay=False)
        return shape
    def forward(self, x, train=False):
        return self.connect((x * self.scale.value**self.power, None), self.scale)

print(xnn.load({path!r}, "numpy", layers=[Scale])(np.full((1, 2), 3.0, "float32")).tolist())
"""


def test_another_program_is_told_of_a_layer_that_it_lacks_and_can_hand_it_over(tmp_path):
    model = nn.Sequential(Scale(power=2)).build((2,), backend="numpy")
    model.parameters.flat[...] = [2.0, 0.5]
    path = str(tmp_path / "mine")
    model.save(path)
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROGRAM.format(path=path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"{path}: it has a layer '{__name__}.Scale', which is not known here: import its module first, or hand over "
        "the class, as in xnn.load(path, layers=[Scale])",
        "[[12.0, 0.75]]",
    ]


def test_a_model_that_is_not_built_cannot_be_saved(tmp_path):
    with pytest.raises(AttributeError, match="call build"):
        nn.Linear(3).save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(RunError, match=r"^cannot write .*nowhere/x: No such file"):
        small().save(tmp_path / "nowhere" / "x")


def sealed(path, change):
    """Change a model's description; `change` takes it and returns another."""
    file = mutated.Tensors.of(path.read_bytes())
    path.write_bytes(mutated.sealed_model(file, change(json.loads(file.header["__metadata__"]["xnn"]))))


@pytest.fixture
def saved(tmp_path):
    small().save(tmp_path / "model")
    return tmp_path / "model"


def wider(said):
    said["architecture"]["arguments"]["layers"][-1]["arguments"]["features"] = 2**40
    return said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said | {"architecture": None}, "is damaged: where a description of a layer is expected"),
        (lambda said: said | {"input_shape": [4, 4]}, r"is damaged: Conv2d: the input must be images"),
        (lambda said: said | {"input_shape": [0]}, "is damaged: "),
        (lambda said: said | {"dtype": "float64"}, "is damaged: its arrays do not have the"),
        (lambda said: said | {"dtype": "int8"}, "is damaged: "),
        (lambda said: said | {"tensors": {}}, "is damaged: it holds"),
        (wider, "is damaged: its arrays do not have the [0-9,]* numbers of its model"),
        (lambda said: {"model": "cnn"}, "does not say what its layers are, .* take xnn.reporting.load_model"),
        (lambda said: [], "is damaged: "),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, change, message):
    sealed(saved, change)
    with pytest.raises(RunError, match=message) as caught:
        xnn.load(saved, "numpy")
    assert str(caught.value).startswith(str(saved))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("block", range(4))
def test_a_mutated_file_is_refused_or_loaded_and_nothing_else(saved, block):
    content = saved.read_bytes()
    outcomes = []
    for seed in range(100 * block, 100 * block + 100):
        changed, told = mutated.model(content, Random(seed))
        saved.write_bytes(changed)
        try:
            outcomes.append((told, repr(xnn.load(saved, "numpy"))))
        except RunError as error:
            outcomes.append((told, str(error)))
            assert "\n" not in outcomes[-1][1]
    assert [outcome for outcome in outcomes if len(outcome[1]) > 2000] == []


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"^cannot read .*nothing: No such file"):
        xnn.load(tmp_path / "nothing", "numpy")
    with pytest.raises(RunError, match=r"^cannot read .*model\.safetensors: No such file"):
        xnn.load(tmp_path, "numpy")
    (tmp_path / "text").write_text("not a model")
    with pytest.raises(RunError, match="is damaged"):
        xnn.load(tmp_path / "text", "numpy")


def test_a_link_that_is_named_is_followed_and_one_in_a_folder_is_not(saved, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for link in (tmp_path / "link", folder / "model.safetensors"):
        link.symlink_to(saved)
    assert xnn.load(tmp_path / "link", "numpy").output_shape == (2,)
    with pytest.raises(RunError, match="is a symbolic link, which is not followed here"):
        xnn.load(folder, "numpy")


def test_a_checksum_tells_of_a_changed_number(saved):
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(RunError, match="does not match its checksum"):
        xnn.load(saved, "numpy")

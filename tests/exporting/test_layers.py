"""Every layer and random networks, as onnxruntime and as xnn compute them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xnn
from tests.exporting.sessions import NEWEST, assert_same, built, onnx, outputs
from tests.nn.examples import EXAMPLES, Example
from xnn import functional as F
from xnn import nn
from xnn.data import Normalization
from xnn.exporting import OLDEST_OPSET, OPSET
from xnn.kernels.table import NDONNX
from xnn.nn.building import named_layers
from xnn.testing.strategies import networks
from xnn.training.view_averaging import predictor


def _more(name, make, shape):
    return Example(name, make, shape, None)


def _conv(channels=3, kernel=3):
    return nn.Conv2d(channels, kernel, padding="same")


MORE = (
    _more("Sequential", lambda: nn.Sequential(_conv(), nn.ReLU(), nn.Flatten(), nn.Linear(2)), (4, 3, 2)),
    _more("Residual", lambda: nn.Residual(nn.Sequential(_conv(2), nn.ReLU())), (4, 3, 2)),
    _more("Residual-with-shortcut", lambda: nn.Residual(_conv(), _conv(3, 1)), (4, 3, 2)),
    _more("Residual-of-vectors", lambda: nn.Residual(nn.Linear(4)), (4,)),
    _more("Parallel", lambda: nn.Parallel(_conv(), _conv(1, 1), nn.ReLU()), (4, 3, 2)),
    _more("Parallel-of-vectors", lambda: nn.Parallel(nn.Linear(3), nn.Tanh()), (4,)),
    _more("Conv2d-uneven", lambda: nn.Conv2d(2, 3, padding=((2, 0), (0, 1))), (5, 4, 2)),
    _more("MaxPool2d-uneven", lambda: nn.MaxPool2d(3, 2, padding=((2, 0), (0, 1))), (5, 4, 2)),
    _more("AvgPool2d-uneven", lambda: nn.AvgPool2d(3, 2, padding=((2, 0), (0, 1))), (5, 4, 2)),
    _more("Parallel-of-rows", lambda: nn.Parallel(nn.Linear(3), nn.Tanh()), (2, 4)),
)
ALL = (*EXAMPLES, *MORE)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx") / "model.onnx"


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_every_layer_computes_the_same(example, file):
    model = built(example.make(), example.input_shape, seed=3)
    exported = xnn.export_onnx(model, file)
    onnx.checker.check_model(file, full_check=True)
    for batch in (1, 3):
        x = np.random.default_rng(batch).normal(0.0, 2.0, (batch, *example.input_shape)).astype(np.float32)
        assert_same(outputs(exported, x), model(x))


def test_no_layer_is_forgotten():
    kinds = {kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Layer)}
    models = [example.make().build(example.input_shape) for example in ALL]
    tried = {type(layer) for model in models for layer in named_layers(model).values()}
    assert kinds - {nn.Layer} == tried


def test_every_twin_is_tried():
    tried = {type(layer).inference_function or type(layer).function for layer in (example.make() for example in ALL)}
    assert {row.names[0] for row in NDONNX} - tried == {"add", "concatenate"}


@given(case=networks(smooth=False, max_layers=3), seed=st.integers(0, 99), batch=st.integers(1, 4), data=st.data())
def test_random_networks_compute_the_same(file, case, seed, batch, data):
    network, shape = case
    model = built(network, shape, seed)
    opset = data.draw(st.sampled_from([OPSET, OLDEST_OPSET, NEWEST]), label="opset")
    exported = xnn.export_onnx(model, file, opset=opset)
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", opset)]
    x = np.random.default_rng(seed).normal(size=(batch, *shape)).astype(np.float32)
    assert_same(outputs(exported, x), model(x))


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, NEWEST + 1))
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_each_version_of_the_operators_computes_the_same(file, opset, approximate):
    layers = _conv(), nn.BatchNorm(), nn.GELU(approximate), nn.LayerNorm(), nn.AvgPool2d(2), nn.Flatten(), nn.Softmax()
    model = built(nn.Sequential(*layers), (4, 4, 2), seed=0)
    normalization = Normalization((0.2, 0.5), (0.3, 0.1))
    exported = xnn.export_onnx(model, file, normalization=normalization, views=6, opset=opset)
    assert onnx.load(file).opset_import[0].version == exported.opset == opset
    images = np.random.default_rng(1).integers(0, 256, (2, 4, 4, 2), np.uint8)
    assert_same(outputs(exported, images), predictor(model, 6)(normalization(images)))


def _operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_a_graph_has_an_operator_for_each_layer(file):
    layers = [_conv(), nn.BatchNorm(), nn.ReLU(), _conv(), nn.GELU(), nn.MaxPool2d(2), nn.GlobalAvgPool2d()]
    block = nn.Residual(nn.Sequential(_conv(), nn.SiLU(), nn.Dropout(0.1)))
    model = nn.Sequential(*layers[:3], block, *layers[3:], nn.Linear(2)).build((8, 8, 3))
    xnn.export_onnx(model, file)
    assert _operators(file) == [
        *("Transpose", "Conv", "BatchNormalization", "Relu", "Conv", "Sigmoid", "Mul", "Add"),
        *("Conv", "Gelu", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm"),
    ]
    proto = onnx.load(file)
    weights = {entry.name: tuple(entry.dims) for entry in proto.graph.initializer}
    assert weights["Conv_1_W"] == (3, 3, 3, 3)
    assert weights["Gemm_1_B"] == (3, 2)
    assert all(len(node.output) == 1 for node in proto.graph.node)
    assert proto.ir_version == onnx.helper.find_min_ir_version_for(proto.opset_import)


class _Standardized(nn.Layer):
    """A convolution whose weight is computed, by calls of the standard alone."""

    weights = ("weight",)

    def initialize(self, shape):
        self.weight = self.parameter("weight", (3, 3, shape[-1], 2), nn.initializers.kaiming_normal)
        return (*shape[:-1], 2)

    def forward(self, x, train=False):
        weight, xp = self.weight.operand, self.backend.xp
        y, pullback = self.functions.conv2d(x, weight - xp.mean(weight), None, 1, "same")
        y[:, :1, :, :] = 0.5
        return self.functions.relu(y)[0], pullback


def test_a_layer_of_one_s_own_may_compute_its_weight_and_write_to_what_is_its_own(file):
    model = nn.Sequential(_Standardized(), nn.MaxPool2d(2)).build((4, 4, 3), backend=xnn.backend("numpy", twins=False))
    exported = xnn.export_onnx(model, file)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    assert_same(outputs(exported, x), model(x))


class _Swish(nn.Layer):
    """A layer as the documentation writes one, with a reference function."""

    def initialize(self, shape):
        self.slope = self.parameter("slope", shape[-1:], nn.initializers.ones)
        return shape

    def forward(self, x, train=False):
        gate, _ = F.sigmoid(self.slope.value * x)
        return x * gate, lambda dy, input_gradient=True: dy


def test_a_layer_of_one_s_own_may_call_the_functions_themselves(file):
    model = built(nn.Sequential(_conv(), _Swish(), nn.Residual(_Swish()), nn.MaxPool2d(2)), (4, 4, 3), seed=1)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    assert_same(outputs(xnn.export_onnx(model, file), x), model(x))


class _Calls(nn.Layer):
    """Computes what a function of the standard's namespace and x returns."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, train=False):
        return self.function(self.backend.xp, x), lambda dy, input_gradient=True: dy


def _between(xp, x):
    first, last = (xp.asarray([[value, value, value]], dtype=xp.float32) for value in (2.0, 7.0))
    return xp.concat([first, x, last], axis=0)[2:, :]


def _sum_of(function):
    return lambda xp, x: x + xp.astype(function(xp, x), xp.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x: x - xp.max(x, axis=-1, keepdims=True),
        lambda xp, x: x - xp.min(x, axis=-1, keepdims=True),
        _sum_of(lambda xp, x: xp.any(x > 1, axis=-1, keepdims=True)),
        _sum_of(lambda xp, x: xp.all(x > -1, axis=-1, keepdims=True)),
        lambda xp, x: x @ xp.asarray(np.arange(9.0, dtype=np.float32).reshape(3, 3)),
        _between,
    ],
    ids=["max", "min", "any", "all", "matmul", "concat"],
)
@pytest.mark.parametrize("last", [False, True], ids=["inside", "last"])
def test_a_layer_of_one_s_own_may_call_what_needs_branches_or_several_constants(file, function, last):
    layers = [nn.Linear(3), _Calls(function), *([] if last else [nn.Linear(2)])]
    model = built(nn.Sequential(*layers), (3,), seed=0)
    exported = xnn.export_onnx(model, file)
    names = [entry.name for entry in onnx.load(file).graph.initializer]
    assert len(names) == len(set(names))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert_same(outputs(exported, x), model(x))


class _Length(nn.Layer):
    """Divides by the length of the batch, which a graph does not know."""

    def forward(self, x, train=False):
        return x / x.shape[0], lambda dy, input_gradient=True: dy


class _Constant(nn.Layer):
    """Does not depend on x."""

    def forward(self, x, train=False):
        return np.zeros((2, 4), np.float32), lambda dy, input_gradient=True: dy


@pytest.mark.parametrize("kind", [_Length, _Constant])
def test_a_layer_that_a_graph_cannot_have_is_refused_by_name(kind, file):
    file.write_bytes(b"before")
    model = nn.Sequential(nn.Linear(4), nn.Residual(nn.Sequential(nn.ReLU(), kind()))).build((3,))
    begin = rf"^the layer {kind.__name__} at '1\.body\.1' cannot be exported;.*$"
    with pytest.raises(ValueError, match=begin) as caught:
        xnn.export_onnx(model, file)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == b"before"


def test_a_graph_has_no_pullback():
    import ndonnx

    from xnn.kernels.ndonnx.activations import relu

    _, pullback = relu(ndonnx.argument(shape=("batch", 3), dtype=ndonnx.float32))
    with pytest.raises(NotImplementedError, match="inference"):
        pullback(None)


@pytest.mark.parametrize("precision", ["float32", "tf32", "float16"])
@pytest.mark.parametrize("name", ["numpy", "torch:cpu"])
def test_any_backend_and_precision_will_do(file, name, precision):
    if name == "torch:cpu":
        pytest.importorskip("torch")
    backend = xnn.backend(name)
    if precision not in xnn.kernels.precisions(backend):
        pytest.skip(f"{name} does not compute in {precision}")

    def made():
        return nn.Sequential(_conv(), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(3))

    exported = xnn.export_onnx(made().build((4, 4, 2), backend=backend, precision=precision), file)
    plain = made().build((4, 4, 2), backend="numpy")
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    assert_same(outputs(exported, x), plain(x))


def test_exporting_leaves_the_model_as_it_is(file):
    model = built(nn.Sequential(_conv(), nn.BatchNorm(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(2)), (4, 4, 1), 0)
    state = model.state_dict()
    xnn.export_onnx(model, file)
    first = file.read_bytes()
    xnn.export_onnx(model, file)
    assert file.read_bytes() == first
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, state[name])
    _, pullback = model.forward(np.ones((2, 4, 4, 1), np.float32), train=True)
    pullback(np.ones((2, 2), np.float32), input_gradient=False)
    assert F.relu(model.gradients.flat)[0].shape == model.parameters.flat.shape

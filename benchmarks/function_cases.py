"""What `benchmarks.functions` times: each function with a twin, at the networks' shapes, on xnn and on PyTorch."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import xnn
from benchmarks.table import is_installed
from xnn import functional as F
from xnn import kernels, nn, optim
from xnn.functional.windows import windows
from xnn.kernels.numpy import direct, winograd
from xnn.random import Random

Call: TypeAlias = Callable[[], Any]
Function: TypeAlias = Callable[..., Any]
LAYOUTS = ("channels first", "channels last")
_TWINS, _PLAIN = xnn.backend("numpy", twins=True), xnn.backend("numpy", twins=False)
_RANDOM, _GENERATOR = Random(_PLAIN, 0), np.random.default_rng(0)
_BYTES = 4


class Case(NamedTuple):
    """A function at some shapes.

    Attributes
    ----------
    name : str
    work : (forward, pullback)
        Operations of a product, counted for the plain sum, or the least bytes that a pass reads and writes.
    make : callable
        Returns (forward, pullback) of ``"xnn"``, ``"reference"`` and, if it is installed, PyTorch in its layouts; an
        optimizer's update has only a forward.
    """

    name: str
    work: tuple[float, float]
    make: Callable[[], dict[str, tuple[Call, ...]]]


def products() -> list[Case]:
    """Return the cases that multiplication should limit."""
    cases = []
    for way in (winograd, direct):
        # The speed net's.
        for side, inputs, outputs in ((31, 24, 64), (15, 64, 64), (15, 64, 256), (7, 256, 256)):
            cases.append(_conv(100, side, inputs, outputs, 3, padding=1, way=way))
    cases += [
        # LeNet-5's.
        _conv(128, 28, 1, 6, 5, padding=2, bias=True),
        _conv(128, 14, 6, 16, 5, bias=True),
        _conv(100, 32, 3, 24, 2, bias=True),
        _conv(128, 32, 32, 64, 3, stride=2, padding=1),
        _conv(128, 32, 32, 64, 1, stride=2),
        _conv(128, 32, 64, 64, 3, padding=1, groups=64),
    ]
    return cases + [_linear(rows, *size) for size in ((784, 128), (3072, 1024)) for rows in (1, 128)]


def passes() -> list[Case]:
    """Return the cases that memory should limit: at shapes of the speed net with a batch of 100, among others."""
    first, second = (100, 31, 31, 24), (100, 15, 15, 64)
    ones, zeros = np.ones(64, np.float32), np.zeros(64, np.float32)
    return [
        # After the shape: the arrays as long as x that forward and pullback read and write. A normalization reads its
        # arrays twice in each direction, for the sums and for the result.
        _pass("batch_norm", second, (3, 5), _batch_norm, _batch_norm_of_torch, ones, zeros),
        _pass("gelu", first, (3, 3), lambda f, x: f.gelu(x)),
        _pass("relu", first, (2, 3), lambda f, x: f.relu(x)),
        # A quarter as many outputs, and a byte for each that says where it came from.
        _pass("max_pool2d 2 x 2", (100, 30, 30, 64), (1 + 5 / 16, 1 + 5 / 16), lambda f, x: f.max_pool2d(x, 2)),
        _pass("dropout", second, (2 + 1 / 4, 2 + 1 / 4), _dropout, lambda f, x: f.dropout(x, 0.5, training=True)),
        *(_cross_entropy(128, classes) for classes in (10, 1000)),
        _update("SGD", 3),
        _update("SGD", 5, momentum=0.9, nesterov=True),
        _update("Adam", 7),
    ]


def _conv(
    batch: int, side: int, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1,
    bias: bool = False, way: Any = None,
) -> Case:  # fmt: skip
    """Return a convolution; `way` is the module that computes it, by default chosen by the geometry."""
    geometry = windows("conv2d", (side, side), kernel, stride, padding)
    name = f"conv2d {kernel} x {kernel}, {batch} x {side} x {side}, {inputs} to {outputs}"
    name += f", stride {stride}" if stride > 1 else ""
    name += f", {groups} groups" if groups > 1 else ""
    name += f", {way.__name__.rpartition('.')[2]}" if way else ""

    def make() -> dict[str, tuple[Call, ...]]:
        shapes = ((batch, side, side, inputs), (kernel, kernel, inputs // groups, outputs))
        x, weight = map(_normal, shapes)
        b = _normal((outputs,)) if bias else None
        settings = (stride, padding, 1, groups)
        twin = kernels.functions(_TWINS).conv2d
        images, filters = x.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1)
        return {
            "xnn": _pair(lambda: way.conv2d(x, weight, b, geometry) if way else twin(x, weight, b, *settings)),
            "reference": _pair(lambda: F.conv2d(x, weight, b, *settings)),
            **_torch_pairs(lambda f, *arrays: f.conv2d(*arrays, *settings), images, filters, b),
        }

    operations = 2 * batch * math.prod(geometry.output) * geometry.taps * inputs // groups * outputs
    return Case(name, (operations, 2 * operations), make)


def _linear(rows: int, inputs: int, outputs: int) -> Case:
    """Return an affine map; the pullback writes the whole gradient, even for one row, where training need not."""

    def make() -> dict[str, tuple[Call, ...]]:
        x, weight, bias = map(_normal, ((rows, inputs), (inputs, outputs), (outputs,)))
        return {
            "xnn": _pair(lambda: kernels.functions(_TWINS).linear(x, weight, bias)),
            "reference": _pair(lambda: F.linear(x, weight, bias)),
            **_torch_pairs(lambda f, x, weight, bias: f.linear(x, weight, bias), x, weight.T, bias),
        }

    operations = 2 * rows * inputs * outputs
    return Case(f"linear, {rows} x {inputs} to {outputs}", (operations, 2 * operations), make)


def _pass(
    name: str, shape: tuple[int, ...], arrays: tuple[float, float], ours: Function, torchs: Function | None = None,
    *others: Any,
) -> Case:  # fmt: skip
    """Return the case of ``ours(functions, x, *others)``; `torchs`, by default the same, computes it in PyTorch."""

    def make() -> dict[str, tuple[Call, ...]]:
        x = _normal(shape)
        return {
            "xnn": _pair(lambda: ours(kernels.functions(_TWINS), x, *others)),
            "reference": _pair(lambda: ours(F, x, *others)),
            **_torch_pairs(torchs or ours, x.transpose(0, 3, 1, 2) if x.ndim == 4 else x, *others),
        }

    size = _BYTES * math.prod(shape)
    return Case(f"{name}, {' x '.join(map(str, shape))}", (arrays[0] * size, arrays[1] * size), make)


def _batch_norm(functions: Any, x: Any, weight: Any, bias: Any) -> Any:
    return functions.batch_norm(x, weight, bias)


def _batch_norm_of_torch(functions: Any, x: Any, weight: Any, bias: Any) -> Any:
    return functions.batch_norm(x, None, None, weight, bias, training=True)


def _dropout(functions: Any, x: Any) -> Any:
    return functions.dropout(x, 0.5, _RANDOM)


def _cross_entropy(rows: int, classes: int) -> Case:
    return _pass(
        "softmax_cross_entropy", (rows, classes), (2, 2),
        lambda f, x, labels: f.softmax_cross_entropy(x, labels), lambda f, x, labels: f.cross_entropy(x, labels),
        _GENERATOR.integers(0, classes, rows),
    )  # fmt: skip


def _update(optimizer: str, arrays: int, **settings: Any) -> Case:
    """Return an update of 2**21 numbers, which reads and writes `arrays` arrays of that length."""
    inputs, outputs = 2**11 - 1, 2**10

    def step_of(backend: xnn.backends.Backend) -> Call:
        model = nn.Linear(outputs).build((inputs,), backend=backend)
        model.gradients.flat[...] = 1e-3 * _normal(model.gradients.flat.shape)
        step: Call = getattr(optim, optimizer)(model, lr=1e-3, **settings).step
        return step

    def make() -> dict[str, tuple[Call, ...]]:
        steps = {"xnn": step_of(_TWINS), "reference": step_of(_PLAIN)}
        if is_installed("torch"):
            import torch

            parameter = torch.zeros((inputs + 1) * outputs)
            parameter.grad = torch.full_like(parameter, 1e-3)
            steps[LAYOUTS[0]] = getattr(torch.optim, optimizer)([parameter], lr=1e-3, **settings).step
        return {name: (step,) for name, step in steps.items()}

    name = ", ".join([optimizer, *(f"{name}={value}" for name, value in settings.items())])
    return Case(f"{name}, 2**21 numbers", (_BYTES * arrays * (inputs + 1) * outputs, 0), make)


def _pair(function: Call) -> tuple[Call, Call]:
    """Return a function that computes y and the pullback, and one that calls the pullback for all gradients."""
    y, pullback = function()
    dy = _normal(y.shape)
    return function, lambda: pullback(dy)


def _torch_pairs(function: Function, *arrays: Any) -> dict[str, tuple[Call, ...]]:
    """Return PyTorch's pair for each layout of images and filters (n, c, h, w); without images, for one layout."""
    if not is_installed("torch"):
        return {}
    import torch

    pairs: dict[str, tuple[Call, ...]] = {}
    for name, layout in zip(LAYOUTS, (torch.contiguous_format, torch.channels_last), strict=True):
        if name == LAYOUTS[0] or arrays[0].ndim == 4:
            pairs[name] = _torch_pair(function, [_to_torch(array, layout) for array in arrays])
    return pairs


def _to_torch(array: Any, layout: Any) -> Any:
    """Return a tensor, which gets a gradient if it has real numbers."""
    import torch

    if array is None:
        return None
    tensor = torch.tensor(array)
    return (tensor.contiguous(memory_format=layout) if array.ndim == 4 else tensor).requires_grad_(
        array.dtype == np.float32
    )


def _torch_pair(function: Function, tensors: Sequence[Any]) -> tuple[Call, Call]:
    import torch

    inputs = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    y = function(torch.nn.functional, *tensors)
    dy = torch.randn_like(y)
    return (
        lambda: function(torch.nn.functional, *tensors),
        lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True),
    )


def _normal(shape: tuple[int, ...]) -> Any:
    return _GENERATOR.normal(size=shape).astype(np.float32)

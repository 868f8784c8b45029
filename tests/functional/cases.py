"""Every function of `xnn.functional`, with a strategy that draws calls of it: what the common properties run over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from xnn import functional as F
from xnn.backends import Backend
from xnn.random import Random
from xnn.testing.strategies import arrays, conv_geometries, labels, pool_geometries, shapes


@dataclass(frozen=True)
class Call:
    """Arguments of one call: NumPy arrays in float64 (or None, or integers), and options.

    `batched` tells which arguments have a batch as first axis, of images that do not know of each other.
    """

    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    batched: tuple[int, ...] = ()


@dataclass(frozen=True)
class Case:
    """A function and how to call it.

    Attributes
    ----------
    calls
        Strategy of calls away from kinks.
    bind
        ``backend -> function``.
    single
        Bound on the error in float32, relative to the largest number in the result (or 1, if that is larger).
    may_be_views
        Whether, as its docstring says, results may be views of what came in.
    nan
        What an argument that is NaN everywhere makes of y: NaN in "all" numbers, or in "some".
    """

    name: str
    calls: st.SearchStrategy[Call]
    bind: Callable[[Backend], Callable[..., Any]]
    single: float = 1e-5
    may_be_views: bool = False
    nan: str = "all"


def _of_one(least: int = 0, batched: bool = True, **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """Draw calls with one array of at least so many axes."""

    @st.composite
    def calls(draw):
        x = draw(shapes(least, least + 3).flatmap(arrays))
        return Call((x,), {name: draw(value) for name, value in options.items()}, (0,) if batched and x.ndim else ())

    return calls()


@st.composite
def _linear(draw):
    *leading, n = draw(shapes(1, 4))
    m = draw(st.integers(1, 4))
    bias = draw(st.none() | arrays((m,)))
    return Call((draw(arrays((*leading, n))), draw(arrays((n, m))), bias), {}, (0,) if leading else ())


@st.composite
def _conv2d(draw):
    geometry = draw(conv_geometries())
    bias = draw(st.none() | arrays(geometry.weight[3:]))
    return Call((draw(arrays(geometry.x)), draw(arrays(geometry.weight)), bias), geometry.options, (0,))


@st.composite
def _pooling(draw, distinct):
    geometry = draw(pool_geometries())
    return Call((draw(arrays(geometry.x, distinct=distinct)),), geometry.options, (0,))


@st.composite
def _global_pooling(draw, distinct):
    return Call((draw(arrays(draw(shapes(4, 4)), distinct=distinct)),), {}, (0,))


@st.composite
def _norm(draw, batched):
    shape = draw(shapes(1, 4))
    weight, bias = (draw(st.none() | arrays(shape[-1:])) for _ in range(2))
    # A large eps as well as the usual one, so that no case stays hidden behind a vanishing variance.
    eps = draw(st.sampled_from([1e-5, 0.1]))
    return Call((draw(arrays(shape)), weight, bias), {"eps": eps}, (0,) if batched and len(shape) > 1 else ())


@st.composite
def _norm_inference(draw):
    call = draw(_norm(True))
    channels = call.args[0].shape[-1:]
    mean, variance = draw(arrays(channels)), np.abs(draw(arrays(channels)))
    return Call((*call.args, mean, variance), call.options, call.batched)


@st.composite
def _softmax(draw):
    shape = draw(shapes(1, 4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return Call((draw(arrays(shape)),), {"axis": axis}, () if axis % len(shape) == 0 else (0,))


def _weights(count: int) -> st.SearchStrategy[Any]:
    return st.none() | arrays((count,)).map(np.abs)


@st.composite
def _distributions(draw, n, classes):
    positive = np.abs(draw(arrays((n, classes), at=(0.0,)))) + np.eye(n, classes)
    positive[:, 0] += 0.5
    return positive / positive.sum(axis=1, keepdims=True)


@st.composite
def _cross_entropy(draw):
    n, classes = draw(shapes(2, 2, max_side=6))
    dtype = draw(st.sampled_from(["int64", "int32", "uint8"]))
    targets = draw(labels(n, classes, dtype) | _distributions(n, classes))
    smoothing = draw(st.sampled_from([0.0, 0.1, 0.9]))
    return Call((draw(arrays((n, classes))), targets, smoothing, draw(_weights(classes)), draw(_weights(n))))


@st.composite
def _pair(draw, unit_target=False, options=()):
    """Draw two arrays of one shape, the options before `sample_weight`, and that."""
    shape = draw(shapes(0, 3))
    prediction, target = draw(arrays(shape)), draw(arrays(shape))
    target = np.asarray((target + 3) / 6) if unit_target else target
    return Call((prediction, target, *map(draw, options), draw(_weights(shape[0])) if shape else None))


@st.composite
def _reshape(draw):
    shape = draw(shapes(1, 4))
    target = draw(st.sampled_from([(-1,), (1, -1), (*shape[1:], shape[0]), (*shape, 1), (shape[0], -1)]))
    return Call((draw(arrays(shape)),), {"shape": target})


@st.composite
def _add(draw):
    shapes = draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes
    return Call(tuple(draw(arrays(shape)) for shape in shapes))


@st.composite
def _concatenate(draw):
    shape = list(draw(shapes(1, 4)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    pieces = []
    for length in draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)):
        shape[axis] = length
        pieces.append(draw(arrays(tuple(shape))))
    return Call(tuple(pieces), {"axis": axis}, () if axis % len(shape) == 0 else tuple(range(len(pieces))))


_dropout = _of_one(batched=False, rate=st.sampled_from([0.0, 0.3, 0.9]), seed=st.integers(0, 9))
_sum_losses = st.lists(arrays(()), min_size=1, max_size=4).map(lambda losses: Call(tuple(losses)))


def _bind_dropout(backend: Backend) -> Callable[..., Any]:
    def dropout(x, rate, seed):
        return F.dropout(x, rate, Random(backend, seed))

    return dropout


def _bind_concatenate(backend: Backend) -> Callable[..., Any]:
    return lambda *pieces, axis: F.concatenate(pieces, axis)


def _case(name: str, calls: st.SearchStrategy[Call], **facts: Any) -> Case:
    return Case(name, calls, lambda backend: getattr(F, name), **facts)


CASES = (
    _case("linear", _linear()),
    _case("conv2d", _conv2d()),
    _case("max_pool2d", _pooling(True)),
    _case("avg_pool2d", _pooling(False)),
    _case("global_avg_pool2d", _global_pooling(False)),
    _case("global_max_pool2d", _global_pooling(True)),
    # Where the variance vanishes, rounding in x - mean is multiplied by 1 / sqrt(eps), twice in the gradient.
    _case("batch_norm", _norm(False), single=1e-2),
    _case("batch_norm_inference", _norm_inference()),
    _case("layer_norm", _norm(True), single=1e-2),
    _case("relu", _of_one()),
    _case("leaky_relu", _of_one(slope=st.sampled_from([0.01, 0.3]))),
    _case("elu", _of_one(alpha=st.sampled_from([1.0, 0.5]))),
    _case("gelu", _of_one(approximate=st.sampled_from(["none", "tanh"]))),
    _case("silu", _of_one()),
    _case("sigmoid", _of_one()),
    _case("tanh", _of_one()),
    _case("softplus", _of_one()),
    _case("softmax", _softmax()),
    _case("log_softmax", _softmax()),
    _case("softmax_cross_entropy", _cross_entropy()),
    _case("binary_cross_entropy_with_logits", _pair(unit_target=True)),
    _case("mse", _pair()),
    # Errors are multiples of 1/8: kinks lie between two of them.
    _case("huber", _pair(options=[st.sampled_from([0.4375, 1.0625])])),
    Case("dropout", _dropout, _bind_dropout, nan="some"),
    _case("l2_penalty", _of_one(batched=False, strength=st.sampled_from([0.0, 1e-3, 2.0]))),
    _case("sum_losses", _sum_losses, may_be_views=True),
    _case("flatten", _of_one(1), may_be_views=True),
    _case("reshape", _reshape(), may_be_views=True),
    _case("add", _add(), may_be_views=True),
    Case("concatenate", _concatenate(), _bind_concatenate, may_be_views=True, nan="some"),
)

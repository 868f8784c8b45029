"""Faster twins of the functions in `xnn.functional`, for one array library each, and the registry that picks them.

A twin takes the same arguments and gives the same results as its reference, within rounding; a property test holds it
to that. It covers what it is fast at, and hands everything else, float64 always, to the reference. Nothing but this
registry knows the twins: a model asks for its backend's functions when it is built, and a twin is imported when it
is first called for. Where what the twins need is not installed, or turned off, the references serve.
"""

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from xnn import functional
from xnn._notes import note
from xnn._typing import Array
from xnn.backends import Backend, twins_by_default
from xnn.kernels import threads

_NEEDS = {"numpy": ("numba", "threadpoolctl")}
_TWINS = {
    "numpy": {
        "avg_pool2d": "pooling",
        "batch_norm": "normalization",
        "batch_norm_inference": "normalization",
        "batch_norm_statistics": "normalization",
        "conv2d": "conv",
        "dropout": "dropout",
        "gelu": "activations",
        "global_max_pool2d": "pooling",
        "linear": "linear",
        "max_pool2d": "pooling",
        "relu": "activations",
        "sigmoid": "activations",
        "silu": "activations",
        "softmax_cross_entropy": "losses",
        "tanh": "activations",
    }
}
# Twins that have another name for models whose products may be as inexact as TF32's.
_TF32 = {"numpy": {"conv2d": "conv2d_tf32"}}
_UPDATES = {
    "numpy": {
        "xnn.optim.adam.Adam": "adam",
        "xnn.optim.adam.AdamW": "adamw",
        "xnn.optim.rmsprop.RMSprop": "rmsprop",
        "xnn.optim.sgd.SGD": "sgd",
    }
}
# Twins of what is no function of arrays alone: the module each is in.
_PASSES = {
    "numpy": {
        "clip_norm": "flat_vectors",
        "move_average": "flat_vectors",
        "prepare_images": "augmentation",
    }
}


class Functions:
    """The functions of `xnn.functional` by their names, each its twin where there is one."""

    def __init__(self, library: str, with_twins: bool, tf32: bool) -> None:
        modules = _TWINS[library] if with_twins and _is_served(library) else {}
        twins = _TF32.get(library, {}) if tf32 else {}
        self._arguments = library, with_twins, tf32
        self._library = library
        self._modules = modules
        self._twins = twins

    def __reduce__(self) -> tuple[Any, ...]:
        return _functions, self._arguments

    def __getattr__(self, name: str) -> Any:
        # Reached once a name: the function found is kept as an attribute.
        module = self._modules.get(name)
        twin = self._twins.get(name, name)
        function = getattr(functional, name) if module is None else getattr(_load(self._library, module), twin)
        setattr(self, name, function)
        return function


def set_threads(count: int) -> None:
    """Compute with `count` threads on the CPU, from now on and in the whole process, as ``$XNN_NUM_THREADS`` has it."""
    threads.set_count(count)
    if _is_served("numpy"):
        _load("numpy", "threads").choose_again()


def alone(backend: Backend, dtype: str = "float32", *, but_for_products: bool = False) -> AbstractContextManager[None]:
    """Return a context in which nothing but the twins' threads computes, which spares each twin to see to it.

    `but_for_products` lets BLAS use its own threads in the products of affine maps, which is faster where nothing else
    is spread over ours. Where there are no twins, as for float64, BLAS keeps its threads.
    """
    if dtype != "float32" or not backend.twins or backend.library != "numpy" or not _is_served("numpy"):
        return nullcontext()
    pool = _load("numpy", "threads").threads()
    context: AbstractContextManager[None] = pool.blas.alone_but_for_products if but_for_products else pool.blas.alone
    return context


def functions(backend: Backend, tf32: bool = False) -> Functions:
    """Return the functions for arrays of a backend; `tf32` allows products that are as inexact as TF32's."""
    return _functions(backend.library, backend.twins, tf32)


def functions_of(array: Array) -> Functions:
    """Return the functions for an array's library, for those who have no backend at hand."""
    kind = type(array)
    if kind not in _of_type:
        library = kind.__module__.partition(".")[0]
        _of_type[kind] = _functions(library, twins_by_default(), False)
    return _of_type[kind]


_of_type: dict[type, Functions] = {}


def twins(backend: Backend) -> dict[str, str]:
    """Return the twins that serve on a backend: the function's name, and the module the twin is in."""
    if not (backend.twins and _is_served(backend.library)):
        return {}
    return {name: f"{__name__}.{backend.library}.{module}" for name, module in _TWINS[backend.library].items()}


def single_pass(backend: Backend, dtype: str, name: str) -> Any:
    """Return the twin of work on a model of a dtype that is one pass over memory, or None if there is none."""
    if not (backend.twins and _is_served(backend.library)) or dtype != "float32":
        return None
    if name in _UPDATES[backend.library]:
        return getattr(_load(backend.library, "optimizers"), _UPDATES[backend.library][name])
    return None if "." in name else getattr(_load(backend.library, _PASSES[backend.library][name]), name)


def side_by_side(backend: Backend, calls: Sequence[Callable[[], object]], work: Sequence[int]) -> None:
    """Make calls that have nothing to do with each other, on the twins' threads where there are any.

    Parameters
    ----------
    backend : Backend
    calls : sequence of callables
    work : sequence of int
        How many multiplications each has to do, about.
    """
    if backend.library == "numpy" and backend.twins and _is_served("numpy"):
        _load("numpy", "threads").threads().side_by_side(calls, work)
        return
    for call in calls:
        call()


@functools.cache
def _functions(library: str, with_twins: bool, tf32: bool) -> Functions:
    return Functions(library, with_twins, tf32)


def products(backend: Backend) -> dict[str, str]:
    """Return facts about what multiplies a backend's matrices, where they bear on the digits and can be had."""
    if backend.library != "numpy" or importlib.util.find_spec("threadpoolctl") is None:
        return {}
    if backend.twins and _is_served("numpy"):
        # Has BLAS use no more threads than the setting says.
        _load("numpy", "threads").threads()
    facts: dict[str, str] = _load("numpy", "blas").blas().facts()
    return facts


@functools.cache
def _is_served(library: str) -> bool:
    if library not in _TWINS or any(importlib.util.find_spec(name) is None for name in _NEEDS[library]):
        return False
    # The kernels are LLVM intrinsics, which cannot run without Numba's compiler.
    if os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0"):
        note("NUMBA_DISABLE_JIT is set: the reference functions compute, several times slower than compiled kernels")
        return False
    return True


def _load(library: str, module: str) -> Any:
    return importlib.import_module(f"{__name__}.{library}.{module}")

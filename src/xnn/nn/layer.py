"""What every layer is: parameters, plus a function that returns its value and its pullback."""

import copy
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Self

from xnn import _checks, functional, kernels
from xnn._checks import is_size
from xnn._typing import Array, Pullback, Shape
from xnn.backends import DTYPES, Backend
from xnn.backends import backend as make_backend
from xnn.nn.arguments import shown
from xnn.nn.computing import outermost
from xnn.nn.habits import explained
from xnn.nn.initializers import Initializer, check_initializer, zeros
from xnn.nn.model import Model
from xnn.nn.parameters import Buffer, Parameter
from xnn.nn.precision import LOWER, Boundary, check_precision, lower
from xnn.nn.predicting import outputs_of, probabilities_of
from xnn.nn.promises import broken_needs, is_of_the_call, kept
from xnn.nn.summary import Summary, summarize
from xnn.random import Random


class Call(NamedTuple):
    """What a layer passes to its function after x: the parameters' arrays, then the other arguments."""

    parameters: tuple[Parameter | None, ...] = ()
    arguments: tuple[Any, ...] = ()

    @property
    def values(self) -> tuple[Any, ...]:
        """All of them, as the function takes them."""
        if not self.parameters:
            return self.arguments
        return (*[None if p is None else p.operand for p in self.parameters], *self.arguments)


_NOTHING = Call()


class Layer(Model):
    """Parameters plus a function. A model is a layer that has been built, usually a `Sequential`.

    A layer of your own implements `initialize`, which declares parameters and returns the output shape. It either names
    its `function`, one of `xnn.functional`, and the arguments of that function, or implements `forward` itself.
    Shapes given to `build` and `initialize` leave out the batch axis.

    Attributes
    ----------
    function, inference_function : str
        Set by the class: the names of the functions that it calls in training and in inference; an empty second name
        stands for the first.
    weights, arguments : tuple of str
        Set by the class: the names of the attributes that its function gets after x, first those that are parameters or
        None, then the others.
    backend, dtype, precision, random :
        Set in every layer by `build`: where its arrays live, the name of their dtype, the type that products are
        computed in, and the model's random numbers.
    functions :
        Also set by `build`: the functions of `xnn.functional`, or their faster twins on this backend.
    input_shape, output_shape : tuple of int
        Without the batch axis.
    parameters, gradients, buffers : Views
        Of a built model: mappings from name to view, in the model's order; ``.flat`` is the whole vector.
    trainable : bool
        Whether any parameter in this layer or inside it is trainable.
    arithmetic : "full", "low" or "given"
        Set by the class: the type that `forward` computes in if the model's precision is a lower type: still the
        parameters' dtype ("full"), the lower type, with the parameters' `operand` ("low"), or the input's, whichever of
        the two that is ("given"). The output always has the input's type.
    """

    function = ""
    inference_function = ""
    weights: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    arithmetic = "full"

    precision: str
    random: Random
    functions: kernels.Functions
    input_shape: Shape
    output_shape: Shape
    _computing: kernels.Computing

    @explained
    def __init__(self) -> None:
        """Make a layer without arguments, as those are that define no constructor of their own."""

    # What a layer implements -------------------------------------------------------------------------------

    def initialize(self, shape: Shape) -> Shape:
        """Declare parameters for inputs of that shape, and return the shape of the outputs."""
        return shape

    def call(self, x: Array, train: bool) -> Call:
        """Return what to pass to the layer's function after x: by default what `weights` and `arguments` name."""
        if not (self.weights or self.arguments):
            return _NOTHING
        weights = tuple([getattr(self, name) for name in self.weights])
        return Call(weights, tuple([getattr(self, name) for name in self.arguments]))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = explained(cls.__init__)  # type: ignore[method-assign]  # the same, but for its errors
        if "forward" in vars(cls):
            # The library's own layers keep their promises by its tests, and need not be asked on every call.
            forward = cls.forward if cls.__module__.startswith("xnn.") else kept(cls.forward)
            cls.forward = outermost(forward)  # type: ignore[method-assign]  # the same, but for its context

    @outermost
    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback).

        ``pullback(dy, input_gradient=True)`` overwrites the gradients of the layer's trainable parameters and returns
        dx, or None with ``input_gradient=False``. In training it frees what it has used as it goes, so it can be called
        only once.
        """
        return self.perform(x, self.call(x, train), train)

    def perform(self, x: Array, call: Call, train: bool) -> tuple[Array, Pullback]:
        """Return (y, pullback) of the layer's function, called as `call` says."""
        function = self._linked[train]
        if function is None:
            raise NotImplementedError(f"{type(self).__name__} names no function and does not implement forward")
        return self.connect(function(x, *call.values), *call.parameters)

    def flops(self) -> int:
        """Return the floating-point operations of one image's products; a multiplication and an addition make two."""
        return 0

    def parameter(self, name: str, shape: Shape, initializer: Initializer, decay: bool = True) -> Parameter:
        """Declare a parameter; call this in `initialize`."""
        check_initializer(f"{type(self).__name__}: the initializer of {name}", initializer)
        self._parameters[name] = Parameter(shape, initializer, decay)
        return self._parameters[name]

    def buffer(self, name: str, shape: Shape, initializer: Initializer = zeros) -> Buffer:
        """Declare an array that is saved with the model but not trained; call this in `initialize`."""
        self._buffers[name] = Buffer(shape, initializer)
        return self._buffers[name]

    def child(self, name: str, layer: "Layer", shape: Shape) -> Shape:
        """Declare a layer inside this one, for inputs of that shape; return the shape of its outputs."""
        self._children[name] = layer
        return layer._prepare(shape)

    def connect(self, result: tuple[Array, Pullback], *parameters: Parameter | None) -> tuple[Array, Pullback]:
        """Turn a function's (y, pullback) into the layer's.

        `parameters` are those that the function was called with after its input, in the same order.
        """
        if not isinstance(result, tuple):
            raise TypeError(f"{type(self).__name__}: connect takes a tuple (y, pullback), not {type(result).__name__}")
        y, function_pullback = result
        if not parameters:

            def pullback(dy: Array, input_gradient: bool = True) -> Array | None:
                return function_pullback(dy) if input_gradient else None

            return y, pullback

        def pullback_to_parameters(dy: Array, input_gradient: bool = True) -> Array | None:
            needs = (input_gradient, *[p is not None and p.trainable for p in parameters])
            try:
                results = function_pullback(dy, needs)
            except TypeError as error:
                if not is_of_the_call(error):
                    raise
                raise broken_needs(type(self).__name__, len(parameters)) from None
            # An array, too, would come apart into as many pieces as it has rows.
            if not isinstance(results, _SEVERAL) or len(results) != len(needs):
                raise broken_needs(type(self).__name__, len(parameters))
            dx, *gradients = results
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if parameter is not None and gradient is not None:
                    parameter.take(gradient)
            return dx

        return y, pullback_to_parameters

    # What a model offers -----------------------------------------------------------------------------------

    def build(
        self,
        input_shape: Shape,
        *,
        backend: Backend | str | None = None,
        seed: int = 0,
        dtype: str = "float32",
        precision: str = "float32",
    ) -> Self:
        """Infer all shapes, make the flat vectors, and draw initial values; return the layer itself.

        Parameters
        ----------
        input_shape : tuple of int
            Of one image, (h, w, c), or of one vector, (n,): without the batch axis.
        backend : Backend, str or None
            As in `xnn.backend`.
        seed : int
            The same seed gives the same values on every backend and in every dtype.
        dtype : "float32" or "float64"
        precision : "float32", "tf32", "float16" or "bfloat16"
            The type that products are computed in. ``"float32"`` stands for `dtype` itself; the others need a dtype of
            float32, which the parameters keep, and only some backends offer them. With ``"float16"`` training has to
            scale the loss, as a `Trainer` does: see the page on precision.

        Raises
        ------
        ValueError
            If an argument is not allowed, the backend does not offer the precision, or a layer does not fit its input.
        """
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
        if not isinstance(input_shape, tuple | list) or not all(is_size(length, 1) for length in input_shape):
            raise ValueError(
                f"input_shape must be a tuple of positive integers, such as (28, 28, 1), not {input_shape!r}"
            )
        _warn_of_channels_first(tuple(input_shape))
        backend = make_backend(backend)
        check_precision(precision, backend, dtype)
        self._prepare(tuple(input_shape))
        self._connect(backend, dtype, precision, Random(backend, seed, "layers"))
        self._draw(seed)
        return self

    def __repr__(self) -> str:
        return shown(self)

    def __copy__(self) -> Self:
        """Return an independent model: parts that two models shared could not be views of both models' vectors."""
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what `copy.deepcopy` and `pickle` keep; a built layer's arrays are copied to the host one by one."""
        state = {name: value for name, value in self.__dict__.items() if name not in _MADE_ANEW}
        if "backend" in state:
            state["_arrays"] = [self.backend.to_numpy(entry.value, copy=True) for entry in self._own_entries()]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make a built layer a model of its own; a model around it then takes it over."""
        arrays = state.pop("_arrays", None)
        self.__dict__.update(state)
        if arrays is None:
            return
        for entry, array in zip(self._own_entries(), arrays, strict=True):
            entry.value = array
        self._connect(self.backend, self.dtype, self.precision, self.random)

    def count(self, input_shape: Shape) -> tuple[int, int]:
        """Return how many numbers a model for such inputs would hold, without making them.

        Returns
        -------
        held : int
            In its parameters and buffers.
        passed : int
            In all layers' outputs for one image.
        """
        self._prepare(tuple(input_shape))
        layers = self._named_layers().values()
        held = sum(math.prod(entry.shape) for layer in layers for entry in layer._own_entries())
        return held, sum(math.prod(layer.output_shape) for layer in layers)

    def __call__(self, x: Array) -> Array:
        """Return the output for x ``(batch, *input_shape)`` in inference: no dropout, running statistics."""
        _checks.no_list("x", x)
        y, _ = self.forward(x)
        return y

    def predict(self, x: Any, batch_size: int = 256) -> Array:
        """Return the outputs for x ``(n, *input_shape)``, as in inference, computed batch by batch.

        The outputs are the model's own, such as the scores (logits) of classes; `predict_proba` makes them
        probabilities, and ``model.predict(x).argmax(-1)`` the classes.

        Parameters
        ----------
        x : array or nested list of numbers
            Of any length. Numbers are cast to the model's dtype, and are not normalized: give them as the model was
            trained on them.
        batch_size : int
            How many inputs are computed at once: what bounds the memory.

        Returns
        -------
        array
            Of the model's library, where x is; otherwise of NumPy.

        Raises
        ------
        ValueError, TypeError
            If x is no batch, or does not hold numbers.
        """
        return outputs_of(self, x, batch_size)

    def predict_proba(self, x: Any, batch_size: int = 256) -> Array:
        """Return the probabilities of classes: the softmax of `predict` along the last axis.

        Raises
        ------
        ValueError
            If the model's outputs are not scores of two or more classes, or are probabilities already.
        """
        return probabilities_of(self, x, batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model into a file, from which `xnn.load` makes it again.

        It is a safetensors file: the parameters and buffers by name, and in its metadata the layers with their
        arguments, as JSON, the input shape, dtype and precision. A layer of your own has to keep each argument of its
        constructor as an attribute of that name, or of that name after an underscore.

        Raises
        ------
        ValueError
            A layer has an argument that such a file cannot hold, or does not keep one.
        RunError
            The file cannot be written, as on a full disk.
        """
        from xnn.nn.saving import save  # msgspec and safetensors, which nothing else here needs

        save(self, path)

    def computing(self) -> AbstractContextManager[None]:
        """Return a context for many calls, such as training; a call outside it enters it on its own where needed.

        See `xnn.kernels.Computing`.
        """
        return self._computing.entered()

    def summary(self) -> Summary:
        """Return a table of the model's layers: output shapes, parameters and FLOPs."""
        return summarize(self, self._named_layers())

    # How `build` works -------------------------------------------------------------------------------------

    def _prepare(self, shape: Shape) -> Shape:
        self._parameters, self._buffers, self._children = {}, {}, {}
        self.input_shape = shape
        self.output_shape = self.initialize(shape)
        return self.output_shape

    def _named_layers(self) -> "dict[str, Layer]":
        """Return this layer, under the name "", and all layers inside it, in order."""
        layers: dict[str, Layer] = {}
        names: dict[int, str] = {}
        for name, layer in self._walk(""):
            if id(layer) in names:
                raise ValueError(
                    f"layer {type(layer).__name__} stands at both '{names[id(layer)]}' and '{name}'; "
                    "parameters cannot be shared: make two layers"
                )
            layers[name], names[id(layer)] = layer, name
        return layers

    def _own_entries(self) -> list[Buffer]:
        return [*self._parameters.values(), *self._buffers.values()]

    def _walk(self, prefix: str) -> "Iterator[tuple[str, Layer]]":
        yield prefix, self
        for name, layer in self._children.items():
            yield from layer._walk(f"{prefix}.{name}".removeprefix("."))

    def _connect(self, backend: Backend, dtype: str, precision: str, random: Random) -> None:
        """Make what all layers of a model share, once everything in it has been declared."""
        layers = self._named_layers()
        names = {type(layer).function for layer in layers.values()}
        computing = kernels.Computing(backend, dtype, precision, names)
        for layer in layers.values():
            # Left over from an earlier build.
            layer.__dict__.pop("_outermost", None)
            if isinstance(vars(layer).get("forward"), Boundary):
                del layer.forward
            layer.backend, layer.dtype, layer.precision, layer.random = backend, dtype, precision, random
            layer.functions, layer._computing = computing.functions, computing
        self._adopt_arrays(layers)
        if precision in LOWER:
            lower(self, layers, self._all_parameters, precision)
        for layer in layers.values():
            layer._link()
        if computing.matters:
            self._outermost = computing
        self._refresh()

    def _link(self) -> None:
        """Look up what the layer calls, once its functions and all layers inside it are ready."""
        kind = type(self)
        names = kind.inference_function or kind.function, kind.function
        for name in names:
            if name and not hasattr(functional, name):
                raise ValueError(f"{kind.__name__}: xnn.functional has no function {name!r}")
        self._linked: list[Any] = [self.functions.linked(name) if name else None for name in names]

    def __getattr__(self, name: str) -> Any:
        # Called only for attributes that are missing: before `build`, nearly all of them.
        if "_children" in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r} yet: call build(input_shape) first")


_SEVERAL = (tuple, list)


def _warn_of_channels_first(shape: Shape) -> None:
    """Warn where a shape can hardly be an image's of this library, and looks like one of PyTorch's."""
    if len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2] >= 8:
        likely = (*shape[1:], shape[0])
        warnings.warn(
            f"input_shape {shape} looks like (channels, height, width), but here channels come last: give {likely}, "
            "and images of that shape",
            stacklevel=3,
        )


_MADE_ANEW = frozenset(
    (
        *("parameters", "gradients", "buffers", "functions", "forward"),
        *("_all_parameters", "_all_buffers", "_segments", "_computing", "_linked", "_outermost", "_steps"),
    )
)
"""Attributes of a built layer that a copy makes anew."""

"""What every layer is: parameters, plus a function that returns its value and its pullback."""

import copy
import math
import os
from typing import Any, NamedTuple, Self

from xnn import _markup, functional, kernels
from xnn._checks import is_size
from xnn._typing import Array, Pullback, Shape
from xnn.backends import DTYPES, Backend
from xnn.backends import backend as make_backend
from xnn.nn.arguments import shown
from xnn.nn.building import named_layers, unite
from xnn.nn.computing import outermost
from xnn.nn.copying import restore, state_of
from xnn.nn.habits import explained, warn_of_channels_first
from xnn.nn.initializers import Initializer, check_initializer, zeros
from xnn.nn.model import Model
from xnn.nn.parameters import Buffer, Parameter
from xnn.nn.precision import check_precision
from xnn.nn.promises import broken_needs, is_of_the_call, kept
from xnn.nn.summary import Summary, summarize
from xnn.random import Random


class Call(NamedTuple):
    """What a layer passes to its function after x: the parameters' arrays, then the other arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> layer = nn.LeakyReLU(slope=0.1).build((3,), backend="numpy")
    >>> layer.call(np.zeros((1, 3)), train=False)
    Call(parameters=(), arguments=(0.1,))
    """

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

    Examples
    --------
    >>> from xnn import nn, testing
    >>> class Shift(nn.Layer):
    ...     def initialize(self, shape):
    ...         self.bias = self.parameter("bias", shape, nn.initializers.zeros, decay=False)
    ...         return shape
    ...
    ...     def forward(self, x, train=False):
    ...         def pullback(dy, needs):
    ...             return dy if needs[0] else None, dy.sum(axis=0) if needs[1] else None
    ...
    ...         return self.connect((x + self.bias.value, pullback), self.bias)
    >>> testing.check_layer(Shift(), (4,))  # raises an error if the pullback is wrong
    >>> nn.Sequential(Shift(), nn.Linear(2)).build((4,), backend="numpy").parameters
    Views({'0.bias': (4,), '1.weight': (4, 2), '1.bias': (2,)})
    """

    function = ""
    inference_function = ""
    weights: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    arithmetic = "full"

    precision: str
    random: Random
    functions: kernels.Functions
    _outermost: kernels.Computing

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
        warn_of_channels_first(tuple(input_shape))
        backend = make_backend(backend)
        check_precision(precision, backend, dtype)
        self._prepare(tuple(input_shape))
        unite(self, backend, dtype, precision, Random(backend, seed, "layers"))
        self._draw(seed)
        return self

    def __repr__(self) -> str:
        return shown(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: of a built model the table of its layers."""
        return self.summary()._repr_html_() if "parameters" in vars(self) else str(_markup.paragraph(self))

    def __copy__(self) -> Self:
        """Return an independent model: parts that two models shared could not be views of both models' vectors."""
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        return state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

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
        layers = named_layers(self).values()
        held = sum(math.prod(entry.shape) for layer in layers for entry in layer._own_entries())
        return held, sum(math.prod(layer.output_shape) for layer in layers)

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

    def summary(self) -> Summary:
        """Return a table of the model's layers: output shapes, parameters and FLOPs."""
        return summarize(self, named_layers(self))

    # How `build` works -------------------------------------------------------------------------------------

    def _prepare(self, shape: Shape) -> Shape:
        self._parameters, self._buffers, self._children = {}, {}, {}
        self.input_shape = shape
        self.output_shape = self.initialize(shape)
        return self.output_shape

    def _link(self) -> None:
        """Look up what the layer calls, once its functions and all layers inside it are ready."""
        kind = type(self)
        names = kind.inference_function or kind.function, kind.function
        for name in names:
            if name and not hasattr(functional, name):
                raise ValueError(f"{kind.__name__}: xnn.functional has no function {name!r}")
        self._linked: list[Any] = [self.functions.linked(name) if name else None for name in names]


_SEVERAL = (tuple, list)

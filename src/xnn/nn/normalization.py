"""Normalization layers."""

from collections.abc import Iterable

from xnn import _checks, kernels
from xnn._typing import Array, Shape
from xnn.functional.replicas import all_statistics, batch_length, batch_rows
from xnn.nn.building import named_layers
from xnn.nn.initializers import ones, zeros
from xnn.nn.layer import Call, Layer


class _Norm(Layer):
    weights = ("weight", "bias")

    def __init__(self, *, eps: float, scale: bool, shift: bool) -> None:
        _checks.positive(f"{type(self).__name__}: eps", eps)
        self.eps = eps
        self.scale = _checks.flag(f"{type(self).__name__}: scale", scale)
        self.shift = _checks.flag(f"{type(self).__name__}: shift", shift)

    def initialize(self, shape: Shape) -> Shape:
        """Declare weight and bias (c,), neither decayed."""
        if not shape:
            raise ValueError(f"{type(self).__name__}: the input must have at least one axis besides the batch")
        self.weight = self.parameter("weight", shape[-1:], ones, decay=False) if self.scale else None
        self.bias = self.parameter("bias", shape[-1:], zeros, decay=False) if self.shift else None
        return shape


class BatchNorm(_Norm):
    """Batch normalization of the last axis (channels); see `xnn.functional.batch_norm`.

    In training it uses the batch's mean and variance and moves running averages towards them,
    ``running += momentum * (batch - running)``, with the unbiased variance; in inference it uses the running ones.

    Parameters
    ----------
    momentum : float in (0, 1]
        Weight of the newest batch.
    eps : float
    scale, shift : bool
        Whether there is a weight γ, a bias β.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> layer = nn.BatchNorm(momentum=0.1).build((1,), backend="numpy")
    >>> y, pullback = layer.forward(np.asarray([[1.0], [3.0]], np.float32), train=True)
    >>> y.round(3)
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> layer.buffers["running_mean"]  # a tenth of the way from 0 to 2
    array([0.2], dtype=float32)
    """

    function = "batch_norm"
    inference_function = "batch_norm_inference"

    def __init__(self, *, momentum: float = 0.1, eps: float = 1e-5, scale: bool = True, shift: bool = True) -> None:
        super().__init__(eps=eps, scale=scale, shift=shift)
        self.momentum = _checks.share("BatchNorm: momentum", momentum)

    def initialize(self, shape: Shape) -> Shape:
        """Declare weight and bias (c,), and the running mean and variance (c,)."""
        output = super().initialize(shape)
        self.running_mean = self.buffer("running_mean", shape[-1:], zeros)
        self.running_variance = self.buffer("running_variance", shape[-1:], ones)
        return output

    def call(self, x: Array, train: bool) -> Call:
        """Return weight, bias and statistics; in training those of x, towards which the running ones move."""
        if not train:
            return Call((self.weight, self.bias), (self.running_mean.value, self.running_variance.value, self.eps))
        mean, variance = self.functions.batch_norm_statistics(x)
        self._update(mean, variance, batch_rows(x))
        return Call((self.weight, self.bias), (self.eps, (mean, variance)))

    def _update(self, mean: Array, variance: Array, count: int) -> None:
        running_mean, running_variance = self.running_mean.value, self.running_variance.value
        # A batch with one number per channel has no unbiased variance; its biased one, 0, stands in.
        correction = count / max(count - 1, 1)
        move = kernels.single_pass(self.backend, self.dtype, "move_statistics")
        if move is not None:
            move(running_mean, running_variance, mean, variance, self.momentum, correction)
            return
        unbiased = variance * correction
        running_mean += self.momentum * (mean - running_mean)
        running_variance += self.momentum * (unbiased - running_variance)


class LayerNorm(_Norm):
    """Layer normalization of the last axis; see `xnn.functional.layer_norm`.

    Parameters
    ----------
    eps : float
    scale, shift : bool
        Whether there is a weight γ, a bias β.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.LayerNorm().build((3,), backend="numpy").predict([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]).round(3)
    array([[-1.225,  0.   ,  1.225],
           [-1.225,  0.   ,  1.225]], dtype=float32)
    """

    function = "layer_norm"
    arguments = ("eps",)

    def __init__(self, *, eps: float = 1e-5, scale: bool = True, shift: bool = True) -> None:
        super().__init__(eps=eps, scale=scale, shift=shift)


def renew_statistics(model: Layer, batches: Iterable[Array]) -> None:
    """Take the running statistics of all batch normalization in a model anew, for the weights that it has now.

    Running averages lag behind the weights, and after a few dozen steps they still remember how they began. Here they
    become the means, weighted by size, of the statistics of the given batches, as each layer sees them in training.
    Nothing else in the model changes (Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021).

    Parameters
    ----------
    model : Layer
        Built.
    batches : iterable of arrays (b, ...)
        Inputs like those that the model is trained on, in batches of much the same size.

    Raises
    ------
    ValueError
        If there is no batch, or one that is empty or not an array with an axis for the batch.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> model = nn.Sequential(nn.BatchNorm()).build((1,), backend="numpy")
    >>> nn.renew_statistics(model, [np.asarray([[1.0], [3.0]], np.float32)])
    >>> model.buffers["0.running_mean"]
    array([2.], dtype=float32)
    """
    layers = [layer for layer in named_layers(model).values() if isinstance(layer, BatchNorm)]
    if not layers:
        return
    momentums, draws, seen = [layer.momentum for layer in layers], model.random.counter, 0
    try:
        for x in batches:
            _check_batch(model, x)
            images = batch_length(x.shape[0])
            seen += images
            for layer in layers:
                if seen == images:
                    # Moving from 0 by the whole difference is exact: nothing remains of what was there before.
                    layer.running_mean.value[...] = 0.0
                    layer.running_variance.value[...] = 0.0
                layer.momentum = images / seen
            with all_statistics():
                model.forward(x, train=True)
    finally:
        for layer, momentum in zip(layers, momentums, strict=True):
            layer.momentum = momentum
        model.random.counter = draws
    if not seen:
        raise ValueError("renew_statistics needs a batch of inputs, as the statistics are taken over them")


def _check_batch(model: Layer, x: Array) -> None:
    # Pictures may be of another size than the model was built for.
    axes = len(model.input_shape)
    if getattr(x, "ndim", None) != axes + 1 or not batch_length(x.shape[0]):
        given = f"an array of shape {tuple(x.shape)}" if hasattr(x, "shape") else f"a {type(x).__name__}"
        raise ValueError(
            f"renew_statistics takes batches of inputs, arrays of a batch axis and {axes} others, not {given}"
        )

"""A strategy that draws whole networks."""

from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from xnn import nn
from xnn._typing import Shape

SMOOTH = (nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.Softplus)
KINKED = (nn.ReLU, nn.LeakyReLU, nn.ELU)
Norms: TypeAlias = tuple[type[nn.Layer], ...]


@st.composite
def networks(
    draw: st.DrawFn, max_layers: int = 4, smooth: bool = True, dropout: bool = True, batch_norm: bool = True
) -> tuple[nn.Sequential, Shape]:
    """Draw a network for small images, not yet built, and the shape of its inputs.

    It consists of convolutions, norms, activations, pooling, residual and parallel branches, and ends in class scores.

    Parameters
    ----------
    max_layers : int
        Most layers on each of the two levels, counting a branching layer as one.
    smooth : bool
        Leave out layers with kinks, such as ReLU and max pooling, which finite differences cannot check everywhere.
    dropout : bool
        Whether dropout may occur.
    batch_norm : bool
        Whether batch normalization may occur, the only layer that mixes the images of a batch.
    """
    shape = (draw(st.integers(2, 5)), draw(st.integers(2, 5)), draw(st.integers(1, 3)))
    kinds = ["conv", "norm", "activation", "average", "residual", "parallel", *["dropout"] * dropout]
    if not smooth:
        kinds.append("max")
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=max_layers))
    norms = (nn.BatchNorm, nn.LayerNorm) if batch_norm else (nn.LayerNorm,)
    layers = [_layer(draw, kind, max_layers, smooth, norms) for kind in chosen]
    head: list[Any] = [nn.GlobalAvgPool2d()] if draw(st.booleans()) else [nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(draw(st.integers(1, 3)))), shape


def _layer(draw: st.DrawFn, kind: str, max_layers: int, smooth: bool, norms: Norms) -> nn.Layer:
    def branch() -> nn.Layer:
        """Draw layers that keep the shape."""
        kinds = st.lists(st.sampled_from(["depthwise", "norm", "activation"]), min_size=1, max_size=max_layers)
        return nn.Sequential(*(_layer(draw, inner, max_layers, smooth, norms) for inner in draw(kinds)))

    def conv() -> nn.Layer:
        channels, kernel, stride = (draw(st.integers(1, most)) for most in (3, 3, 2))
        return nn.Conv2d(channels, kernel, stride, "same", bias=draw(st.booleans()))

    makers: dict[str, Callable[[], nn.Layer]] = {
        "activation": lambda: draw(st.sampled_from(SMOOTH if smooth else SMOOTH + KINKED))(),
        "average": lambda: nn.AvgPool2d(2, 2, "same"),
        "conv": conv,
        "depthwise": lambda: _Depthwise(draw(st.sampled_from([1, 3]))),
        "dropout": lambda: nn.Dropout(0.3),
        "max": lambda: nn.MaxPool2d(2, 2, "same"),
        "norm": lambda: draw(st.sampled_from(norms))(),
        "parallel": lambda: nn.Parallel(*(branch() for _ in range(draw(st.integers(1, 3))))),
        "residual": lambda: nn.Residual(branch()),
    }
    return makers[kind]()


class _Depthwise(nn.Conv2d):
    """A convolution of each channel by itself, for any number of channels."""

    def __init__(self, kernel: int) -> None:
        super().__init__(1, kernel, padding="same")

    def initialize(self, shape: Shape) -> Shape:
        self.channels = self.groups = shape[-1]
        return super().initialize(shape)

"""A layer with a mistake that shows for some shapes only, and the test that finds it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from xnn import functional as F
from xnn import nn, testing
from xnn.testing import strategies


class ChannelGate(nn.Layer):
    """y = x * sigmoid(slope * mean), with the mean of each channel over the image."""

    def initialize(self, shape):
        """Declare the slopes; the output is as large as the input."""
        self.slope = self.parameter("slope", shape[-1:], nn.initializers.ones, decay=False)
        return shape

    def forward(self, x, train=False):
        """Return (y, pullback)."""
        xp = self.backend.xp
        slope = self.slope.value
        mean = xp.mean(x, axis=(1, 2), keepdims=True)
        gate, gate_pullback = F.sigmoid(slope * mean)

        def pullback(dy, needs=(True, True)):
            dz = gate_pullback(xp.sum(dy * x, axis=(1, 2), keepdims=True))
            dx = dy * gate + dz * slope / x.shape[1] ** 2 if needs[0] else None
            dslope = xp.sum(dz * mean, axis=(0, 1, 2)) if needs[1] else None
            return dx, dslope

        return self.connect((x * gate, pullback), self.slope)


def test_one_shape():
    """The gradients are right for one shape."""
    testing.check_layer(ChannelGate(), (8, 8, 3))


@settings(deadline=None)
@given(shape=strategies.shapes(3, 3), batch=st.integers(1, 3), seed=st.integers(0, 99))
def test_every_shape(shape, batch, seed):
    """The gradients are right for every shape (h, w, c)."""
    testing.check_layer(ChannelGate(), shape, batch=batch, seed=seed)


if __name__ == "__main__":
    test_one_shape()
    try:
        test_every_shape()
    except AssertionError as error:
        print(error)
    else:
        raise SystemExit("the mistake was not found")

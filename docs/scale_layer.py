"""A layer that multiplies each channel by a number it learns."""

from xnn import nn, testing


class Scale(nn.Layer):
    """y = x * scale, one number for each channel."""

    def initialize(self, shape):
        """Declare the numbers; the output is as large as the input."""
        self.scale = self.parameter("scale", shape[-1:], nn.initializers.ones, decay=False)
        return shape

    def forward(self, x, train=False):
        """Return (y, pullback)."""
        xp = self.backend.xp
        scale = self.scale.value

        def pullback(dy, needs=(True, True)):
            dx = dy * scale if needs[0] else None
            dscale = xp.sum(dy * x, axis=tuple(range(x.ndim - 1))) if needs[1] else None
            return dx, dscale

        return self.connect((x * scale, pullback), self.scale)


testing.check_layer(Scale(), (8, 8, 3))  # raises an AssertionError if the pullback is wrong

model = nn.Sequential(nn.Conv2d(8, 3), Scale(), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(10))
model.build((32, 32, 3), backend="numpy")
print(model.summary())

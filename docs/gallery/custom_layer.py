"""
A layer of your own, and its proof
==================================

A layer is a set of parameters and a function with a pullback. :func:`xnn.testing.check_layer` compares the pullback
with finite differences, so a wrong derivative does not get as far as your training. :doc:`/proving` goes further and
has Hypothesis draw the shapes.
"""

# %%
# The mathematics
# ---------------
#
# *Swish* [1]_ is an activation with a parameter: with a slope :math:`\beta_c` that each channel learns, and the sigmoid
# :math:`\sigma`,
#
# .. math:: y = x \, \sigma(\beta_c x)
#
# Both :math:`x` and :math:`\beta_c` also reach :math:`y` through the argument of the sigmoid. With
# :math:`z = \beta_c x` and :math:`dz = \sigma'(z) \, x \, dy`, the pullback returns
#
# .. math:: dx = \sigma(z) \, dy + \beta_c \, dz, \qquad d\beta_c = \sum x \, dz
#
# where the sum is over all axes but the channels.
#
# .. [1] P. Ramachandran, B. Zoph and Q. V. Le, "Searching for activation functions", 2017.

import matplotlib.pyplot as plt
import numpy as np

import xnn
from xnn import data, nn, optim, testing
from xnn import functional as F


class Swish(nn.Layer):
    """y = x * sigmoid(slope * x), with a slope for each channel."""

    def initialize(self, shape):
        """Declare the slopes; the output is as large as the input."""
        self.slope = self.parameter("slope", shape[-1:], nn.initializers.ones, decay=False)
        return shape

    def forward(self, x, train=False):
        """Return (y, pullback)."""
        xp = self.backend.xp
        slope = self.slope.value
        gate, gate_pullback = F.sigmoid(slope * x)

        def pullback(dy, needs=(True, True)):
            dz = gate_pullback(x * dy)
            dx = gate * dy + slope * dz if needs[0] else None
            dslope = xp.sum(x * dz, axis=tuple(range(x.ndim - 1))) if needs[1] else None
            return dx, dslope

        return self.connect((x * gate, pullback), self.slope)


# %%
# The proof
# ---------
#
# The layer is built in float64, with random slopes and inputs. Its pullback is compared with finite differences for
# the input and for every parameter. The output must have the shape that was promised, and the input must stay as it is.

testing.check_layer(Swish(), (8, 8, 3))
print("The gradients are right.")

# %%
# Would it notice a mistake? Let us forget that :math:`x` also reaches :math:`y` through the sigmoid:


class Wrong(Swish):
    """Swish, with a mistake in the gradient of the input."""

    def forward(self, x, train=False):
        """Return (y, pullback)."""
        gate, gate_pullback = F.sigmoid(self.slope.value * x)

        def pullback(dy, needs=(True, True)):
            dz = gate_pullback(x * dy)
            return gate * dy, self.backend.xp.sum(x * dz, axis=tuple(range(x.ndim - 1)))

        return self.connect((x * gate, pullback), self.slope)


try:
    testing.check_layer(Wrong(), (8, 8, 3))
except AssertionError as error:
    print(error)
else:
    raise RuntimeError("the mistake was not found")

# %%
# In a network
# ------------
#
# The layer now works like any other: in networks, on every backend, in training, in files.

digits = data.load("digits")
backend = xnn.backend("numpy")
options = {"backend": backend, "normalization": data.Normalization.of(digits.train)}
model = nn.Sequential(
    *(nn.Conv2d(16, 3, padding="same"), Swish(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(10)),
)
model.build(digits.image_shape, backend=backend, seed=0)
trainer = xnn.Trainer(model, optim.AdamW(model, lr=0.01))
history = trainer.fit(
    data.Batches(digits.train, batch_size=64, seed=0, **options),
    data.Batches(digits.test, batch_size=360, shuffle=False, **options),
    epochs=10,
)
print(history.table())

# %%
# All slopes began at 1. These are the activations that the 16 channels have learned:

x = np.linspace(-5, 1, 200)[:, None]
plt.figure(figsize=(6, 3.6), layout="constrained")
plt.plot(x, x / (1 + np.exp(-model.parameters["1.slope"] * x)), lw=1, color="tab:blue")
plt.plot(x, x / (1 + np.exp(-x)), "--", color="black", label="at first")
plt.legend()
plt.xlabel("x")
plt.ylabel("y")
plt.show()

"""
Comparing optimizers
====================

Four optimizers train the same network on the digits that come with xnn, from the same initial weights, on the same
batches. One picture shows their curves.
"""

import matplotlib.pyplot as plt

import xnn
from xnn import data, nn, optim

backend = xnn.backend("numpy")
digits = data.load("digits")
normalization = data.Normalization.of(digits.train)
train = data.Batches(digits.train, batch_size=32, backend=backend, normalization=normalization, seed=0)
test = data.Batches(digits.test, batch_size=360, backend=backend, normalization=normalization, shuffle=False)

# %%
# The network is made anew for each optimizer. With the same seed it begins with the same weights, and `Batches` gives
# the same images in the same order, so that nothing but the optimizer differs.


def network():
    """Return a small convolutional network, ready to be trained."""
    layers = (
        *(nn.Conv2d(16, 3, padding="same"), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(10)),
    )
    return nn.Sequential(*layers).build(digits.image_shape, backend=backend, seed=0)


print(network().summary())

# %%
# Each optimizer has the learning rate that gave it the lowest loss on held-out training images after eight epochs,
# among 0.001, 0.003, 0.01, 0.03, 0.1 and 0.3. At the same rate for all, most would look bad for no fault of their own.

optimizers = {
    "SGD": lambda model: optim.SGD(model, lr=0.3),
    "SGD, momentum 0.9": lambda model: optim.SGD(model, lr=0.03, momentum=0.9, nesterov=True),
    "RMSprop": lambda model: optim.RMSprop(model, lr=0.01),
    "Adam": lambda model: optim.Adam(model, lr=0.03),
}

histories = {}
for name, make in optimizers.items():
    model = network()
    histories[name] = xnn.Trainer(model, make(model), held_out="test").fit(train, test, epochs=8)

# %%
# `History.plot` draws loss and accuracy, and returns the axes. Given these, the next history is drawn into them with a
# colour of its own; training is dashed, the test is not. Eight curves are many for a legend: name those of the test
# alone.

axes = None
for name, history in histories.items():
    axes = history.plot(axes=axes, label=name)

for chart in axes:
    lines = [line for line in chart.get_lines() if line.get_label().endswith("test")]
    chart.legend(lines, [line.get_label().removesuffix(", test") for line in lines], frameon=False)
axes[0].figure.set_size_inches(11, 4.5)
axes[0].figure.suptitle("Four optimizers, one network")
plt.show()

# %%
# The same as numbers: the best accuracy of each, and the epoch that had it.

for name, history in histories.items():
    epoch = history.best("test_accuracy", rises=True)
    print(f"{name:<18} {100 * history[epoch - 1]['test_accuracy']:.2f} % after epoch {epoch}")

"""
A training loop by hand
=======================

:class:`xnn.Trainer` is a loop around five lines, and you can write it yourself: a batch, the value, the loss, the
pullback, a step. Nothing is hidden in between: there is no tape and no global state.
"""

# %%
# Data and model
# --------------
#
# :class:`~xnn.data.Batches` makes normalized batches in a new order each epoch. The layers are told only their outputs;
# ``build`` infers the inputs.

import matplotlib.pyplot as plt
import numpy as np

import xnn
from xnn import data, nn, optim
from xnn import functional as F

backend = xnn.backend("numpy")
digits = data.load("digits")
options = {"backend": backend, "normalization": data.Normalization.of(digits.train)}
train = data.Batches(digits.train, batch_size=32, seed=0, **options)
test = data.Batches(digits.test, batch_size=360, shuffle=False, **options)

model = nn.Sequential(
    *(nn.Conv2d(16, 3, padding="same"), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(10)),
)
model.build(digits.image_shape, backend=backend, seed=0)

# %%
# The loop
# --------
#
# ``model.forward`` returns the logits and their *pullback*, which takes the gradient of the loss with respect to the
# logits and fills the gradients of all parameters. The loss is such a pair too. We do not need the gradient with
# respect to the images, and say so.

EPOCHS = 6
optimizer = optim.SGD(model, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
schedule = optim.OneCycle(0.1, EPOCHS * len(train))
losses, accuracies = [], []

with model.computing():
    for epoch in range(EPOCHS):
        for images, labels in train.epoch(epoch):
            optimizer.lr = schedule(len(losses))
            logits, pullback = model.forward(images, train=True)
            loss, loss_pullback = F.softmax_cross_entropy(logits, labels)
            pullback(loss_pullback(), input_gradient=False)
            optimizer.step()
            losses.append(float(loss))
        right = [model(images).argmax(axis=1) == labels for images, labels in test.epoch(0)]
        accuracies.append(float(np.mean(np.concatenate(right))))
        print(f"epoch {epoch + 1}: loss {np.mean(losses[-len(train) :]):.4f}, test accuracy {accuracies[-1]:.2%}")

# %%
# The curves
# ----------
#
# The loss of each step, and the accuracy on the test images after each epoch:

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.semilogy(losses, lw=0.8)
left.set(xlabel="step", ylabel="loss of the batch")
right.plot(range(1, EPOCHS + 1), accuracies, "o-")
right.set(xlabel="epoch", ylabel="test accuracy")
plt.show()

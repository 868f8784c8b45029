"""
Fine-tuning with few images
===========================

A network that has learned a larger task needs only a few images for a new one. Here it learns the digits 0 to 6, and
then, from five images each, to tell 7, 8 and 9 apart. For runs, ``xnn-train --dataset FOLDER --from RUN_DIR`` does the
same; see :doc:`/fine_tuning`.
"""

# %%
# Two tasks
# ---------
#
# The digits that come with xnn are split by class.

import matplotlib.pyplot as plt
import numpy as np

import xnn
from xnn import data, nn, optim

digits = data.load("digits")
normalize = data.Normalization.of(digits.train)
x, labels = normalize(digits.train.images), digits.train.labels
test_x, test_labels = normalize(digits.test.images), digits.test.labels

old, old_test, new_test = labels < 7, test_labels < 7, test_labels >= 7
few = np.concatenate([np.flatnonzero(labels == label)[:5] for label in (7, 8, 9)])
print(f"{old.sum()} images of 0 to 6; {len(few)} of 7 to 9 to learn from, {new_test.sum()} to test on")


def network(classes):
    """Return a small convolutional network."""
    model = nn.Sequential(
        *(nn.Conv2d(16, 3, padding="same", bias=False), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 3, padding="same", bias=False), nn.BatchNorm(), nn.ReLU()),
        *(nn.GlobalAvgPool2d(), nn.Linear(classes)),
    )
    return model.build(digits.image_shape, backend="numpy", seed=0)


# %%
# The larger task
# ---------------

first = network(classes=7)
trainer = xnn.Trainer(first, optim.SGD(first, lr=0.05, momentum=0.9))
trainer.fit((x[old], labels[old]), epochs=8, batch_size=32)
print(
    f"0 to 6: {trainer.evaluate((test_x[old_test], test_labels[old_test])).accuracy:.1%} of the test images are right"
)

# %%
# The new task, in three ways
# ---------------------------
#
# * from scratch,
# * from the weights of the first network: ``load_state_dict`` takes what fits, which is all but the last layer,
# * the same, but only the last layer is trained: ``freeze`` stops a layer's parameters from learning, and the backward
#   pass ends where nothing is left to learn.


def learn(begin, freeze=False):
    """Train on the few images, and return the test accuracy after each epoch."""
    model = network(classes=3)
    if begin is not None:
        misfits = model.load_state_dict(begin.state_dict(), strict=False)
        print("begins anew:", ", ".join(misfits.mismatched))
    if freeze:
        for layer in ("0", "1", "4", "5"):
            model.freeze(layer)
    trainer = xnn.Trainer(model, optim.SGD(model, lr=0.02, momentum=0.9))
    history = trainer.fit(
        (x[few], labels[few] - 7), (test_x[new_test], test_labels[new_test] - 7), epochs=30, batch_size=15
    )
    return history.column("validation_accuracy")


ways = {
    "from scratch": learn(begin=None),
    "fine-tuned": learn(begin=first),
    "last layer only": learn(begin=first, freeze=True),
}
for way, accuracies in ways.items():
    print(f"{way:16} {accuracies[-1]:.1%}")

# %%
# The picture
# -----------

plt.figure(figsize=(7, 3.6), layout="constrained")
for way, accuracies in ways.items():
    plt.plot(range(1, len(accuracies) + 1), accuracies, label=way)
plt.axhline(1 / 3, color="grey", lw=0.8, ls=":", label="by chance")
plt.xlabel("epoch, of 15 images")
plt.ylabel("test accuracy on 7, 8 and 9")
plt.legend()
plt.show()

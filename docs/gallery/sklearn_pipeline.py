"""
A pipeline and a grid search
============================

:class:`xnn.sklearn.Classifier` is an estimator like those of scikit-learn. So it can stand at the end of a pipeline,
and its parameters can be searched together with those of the other steps. :doc:`/sklearn` tells more.
"""

# %%
# The data
# --------
#
# The digits that come with scikit-learn: 1,797 images of 8 x 8 pixels, as rows of 64 numbers. A quarter of them is for
# the end.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from xnn import nn
from xnn.sklearn import Classifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X.astype(np.float32), y, stratify=y, random_state=0)

# %%
# The pipeline
# ------------
#
# Networks want numbers around 0, so a scaler comes first. The learning rate rises and falls within 15 epochs
# (``"one-cycle"``); without that, training would go on until the loss no longer falls, as in scikit-learn.

pipeline = Pipeline(
    [
        ("scale", StandardScaler()),
        ("network", Classifier(learning_rate="one-cycle", learning_rate_init=0.01, max_iter=15, random_state=0)),
    ]
)

# %%
# The search
# ----------
#
# Two widths and two strengths of the penalty, each judged on three parts of the training data in turn. ``n_jobs=2``
# would do two at a time.

grid = {"network__hidden": [(32,), (128,)], "network__alpha": [1e-4, 1.0]}
search = GridSearchCV(pipeline, grid, cv=3).fit(X_train, y_train)
for parameters, mean in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    print(f"{mean:.2%}  {parameters}")
print(f"test accuracy of the best: {search.score(X_test, y_test):.2%}")

# %%
# Layers of your own
# ------------------
#
# The same pipeline takes any layers. Convolutions need images, and the scaler rows: ``image_shape`` tells the network
# what the rows stand for. The last layer, with an output for each class, is added.

convolutions = [nn.Conv2d(16, 3, padding="same"), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2)]
pipeline.set_params(network__hidden=None, network__layers=convolutions, network__image_shape=(8, 8, 1))
pipeline.set_params(network__batch_size=32)
pipeline.fit(X_train, y_train)
print(pipeline["network"].model_.summary())
print(f"test accuracy of the convolutions: {pipeline.score(X_test, y_test):.2%}")

# %%
# What is mistaken for what
# -------------------------
#
# All of scikit-learn's tools for judging classifiers work, too.

ConfusionMatrixDisplay.from_estimator(pipeline, X_test, y_test, cmap="Blues", colorbar=False)
plt.title("Digits: what the convolutions see")
plt.tight_layout()
plt.show()

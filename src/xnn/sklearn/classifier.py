"""The classifier."""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from xnn import functional as F
from xnn import nn
from xnn.data.splits import HostArray
from xnn.sklearn.estimator import Estimator


class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network that classifies, as an estimator of scikit-learn's.

    Without further parameters it has one hidden layer of 100 and is trained as ``MLPClassifier`` is. It takes the
    parameters of that class by their names; the documentation lists what differs.

    Parameters
    ----------
    hidden : int or sequence of int, optional
        Widths of the hidden layers; (100,) by default. With a recipe, its one width.
    activation : str
        What follows each hidden layer: ``"relu"``, ``"tanh"``, ``"logistic"`` or ``"identity"``, or xnn's own
        ``"gelu"``, ``"silu"``, ``"elu"``, ``"leaky_relu"`` or ``"softplus"``.
    hidden_layer_sizes : sequence of int, optional
        Another name of `hidden`, that of scikit-learn's networks.
    layers : list of Layer, or Layer, optional
        Layers of your own in place of `hidden`. To a list, a `xnn.nn.Linear` for the outputs is added, unless the list
        ends in one already. A model is used as it is, and must have one output for each class; one that is built keeps
        its weights to begin with. The estimator trains a copy.
    recipe : str, optional
        A network with all its training: ``"mlp"``, ``"lab6"``, or for images ``"cnn"``, ``"speed"``, ``"residual"``.
        Parameters below that are None, and a `batch_size` of ``"auto"``, are the recipe's then.
    image_shape : tuple of int, optional
        (height, width, channels) of images that X has as rows, as other steps of a pipeline want them.
    solver : str, optional
        ``"adam"`` by default, ``"sgd"``, ``"adamw"``, ``"rmsprop"`` or ``"muon"``.
    alpha : float, optional
        Strength of the L2 penalty on weights, but not biases; 1e-4 by default. As in scikit-learn it is divided by the
        examples (their weights) in a batch; the optimizer gets the quotient as its weight decay.
    batch_size : int or "auto"
        Examples a step: by default 200, or all where there are fewer.
    learning_rate : str, optional
        Its course: ``"constant"`` by default; ``"adaptive"``, which divides it by 5 instead of stopping, until it is
        1e-6; or ``"step"``, ``"cosine"``, ``"linear"`` or ``"one-cycle"``, which come to their end after `max_iter`
        epochs, so that only `early_stopping` stops them before.
    learning_rate_init : float, optional
        The learning rate, or the highest one; 0.001 by default.
    max_iter : int, optional
        Most epochs; 200 by default.
    shuffle : bool
        Whether each epoch has an order of its own.
    random_state : int, RandomState instance or None
        Decides initial weights, orders and what is held out.
    tol : float
        What counts as an improvement, see `n_iter_no_change`.
    verbose : bool
        Print a line for each epoch.
    warm_start : bool
        Whether `fit` goes on with the weights of an earlier call; the optimizer starts anew.
    momentum : float, optional
        Of ``"sgd"``, ``"rmsprop"`` and ``"muon"``; 0.9 by default with the first, otherwise the optimizer's own.
    nesterovs_momentum : bool
        Whether ``"sgd"`` has Nesterov's momentum rather than the classical one. Recipes always do.
    early_stopping : bool
        Hold out a part of the examples, stop by the score on them, and return to the weights of the best epoch.
    validation_fraction : float
        How large that part is.
    beta_1, beta_2, epsilon : float
        Of ``"adam"`` and ``"adamw"``, without a recipe.
    n_iter_no_change : int
        Training stops when the training loss, or with `early_stopping` the score, has not improved by `tol` for more
        epochs than this; ``numpy.inf`` never stops.
    class_weight : dict or "balanced", optional
        Weights of the classes in the loss, multiplied by those of the examples.
    label_smoothing : float, optional
        Share of each label that is spread over all classes; 0 by default.
    augment : str or sequence of str, optional
        Random changes to training images, by the names that ``xnn-train --augment`` takes; None stands for the
        recipe's, ``()`` for none.
    normalize : bool or "auto"
        Whether to subtract the training data's mean and divide by its standard deviation: of each channel of images, or
        of each column of rows. By default images are normalised, and rows are not.
    dtype : "auto", "float32" or "float64"
        What to compute in: by default float32, which is several times as fast, but float64 where X has that type and no
        more than 10,000 numbers.
    backend : str, optional
        Where to compute, as in `xnn.backend`; by default ``$XNN_BACKEND``, or the GPU if CuPy finds one.

    Attributes
    ----------
    classes_ : array (classes,)
        The labels, sorted.
    n_features_in_ : int
        Columns of X, or numbers in an image.
    feature_names_in_ : array of str
        Names of the columns, where X is a table whose columns have names.
    input_shape_ : tuple of int
        Of an example as the network takes it.
    model_ : Layer
        The network: ``model_.summary()`` shows it, ``model_.save(path)`` writes it into a file.
    mean_, scale_ : array or None
        What `normalize` subtracts and divides by, of each channel or column; None where it does not. The network takes
        ``(X - mean_) / scale_``.
    loss_, loss_curve_ : float, list of float
        The training loss, without the penalty, of the last epoch and of all.
    best_loss_ : float or None
        The lowest of them; None with `early_stopping`.
    validation_scores_, best_validation_score_ : list of float, float, or None
        The score on what is held out, after each epoch and at best.
    history_ : History
        Losses, learning rates and times of the last call's epochs.
    n_iter_, t_ : int
        Epochs of the last call, and examples seen in all.
    n_outputs_ : int
        Outputs of the network.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from xnn.sklearn import Classifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> network = Classifier(hidden=(64,), random_state=0).fit(X_train, y_train)
    >>> network.score(X_test, y_test) > 0.95
    True
    """

    def __init__(
        self,
        hidden: Any = None,
        activation: str = "relu",
        *,
        hidden_layer_sizes: Any = None,
        layers: Any = None,
        recipe: str | None = None,
        image_shape: tuple[int, ...] | None = None,
        solver: str | None = None,
        alpha: float | None = None,
        batch_size: Any = "auto",
        learning_rate: str | None = None,
        learning_rate_init: float | None = None,
        max_iter: int | None = None,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float | None = None,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        class_weight: Any = None,
        label_smoothing: float | None = None,
        augment: Any = None,
        normalize: Any = "auto",
        dtype: Any = "auto",
        backend: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.hidden_layer_sizes = hidden_layer_sizes
        self.layers = layers
        self.recipe = recipe
        self.image_shape = image_shape
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.normalize = normalize
        self.dtype = dtype
        self.backend = backend

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train for one epoch on these examples, going on with what there is.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array, optional
            All classes that any call will have. The first call needs them; later ones may repeat them.

        Returns
        -------
        self
        """
        go_on = hasattr(self, "model_")
        if not go_on and classes is None:
            raise ValueError("classes must be given in the first call of partial_fit: all that y will ever have")
        if go_on and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} is not the same as in the first call of partial_fit, {self.classes_!r}"
            )
        return self._train(X, y, sample_weight, go_on=go_on, partial=True, classes=classes)

    def predict(self, X: Any) -> HostArray:  # noqa: N803
        """Return the likeliest class of each example, (n,)."""
        outputs = self._raw(X)
        likeliest: HostArray = self.classes_[np.argmax(outputs, axis=1)]
        return likeliest

    def predict_proba(self, X: Any) -> HostArray:  # noqa: N803
        """Return the classes' probabilities, (n, classes), in the order of ``classes_``: the softmax of the scores."""
        probabilities: HostArray = F.softmax(self._raw(X))[0]
        return probabilities

    def predict_log_proba(self, X: Any) -> HostArray:  # noqa: N803
        """Return the logarithms of the classes' probabilities, (n, classes)."""
        logarithms: HostArray = F.log_softmax(self._raw(X))[0]
        return logarithms

    def decision_function(self, X: Any) -> HostArray:  # noqa: N803
        """Return the scores (logits) of the classes, (n, classes); of two classes the second's lead, (n,)."""
        outputs = self._raw(X)
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs

    def _check_y(self, y: HostArray, classes: Any, first: bool) -> HostArray:
        y = column_or_1d(y)
        check_classification_targets(y)
        if first and classes is None:
            self.classes_, indices = np.unique(y, return_inverse=True)
            return indices.astype(np.int64)
        if first:
            self.classes_ = np.unique(np.asarray(classes))
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has classes that are not in classes_: {unknown}. It has {self.classes_}, those of the first fit; "
                "to start anew, call fit with warm_start=False"
            )
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _outputs(self) -> int:
        return len(self.classes_)

    def _loss(self, label_smoothing: float) -> nn.SoftmaxCrossEntropy:
        return nn.SoftmaxCrossEntropy(label_smoothing)

    def _weight(self, y: HostArray, sample_weight: HostArray | None, partial: bool) -> HostArray | None:
        if self.class_weight is None:
            return sample_weight
        if partial and isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} does not work with partial_fit, which does not see all examples; "
                "give a dict, as sklearn.utils.class_weight.compute_class_weight makes one"
            )
        by_class: HostArray = compute_sample_weight(self.class_weight, y)
        odd = ~((by_class >= 0) & np.isfinite(by_class))
        if odd.any():
            raise ValueError(
                f"class_weight must hold finite numbers of at least 0, not {by_class[odd][0]:g} for class {y[odd][0]}"
            )
        return by_class if sample_weight is None else by_class * sample_weight

    def _score(self, outputs: HostArray, targets: HostArray, weight: HostArray | None) -> float:
        return float(accuracy_score(targets, np.argmax(outputs, axis=1), sample_weight=weight))

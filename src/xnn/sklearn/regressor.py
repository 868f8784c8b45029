"""The regressor."""

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags

from xnn.data.splits import HostArray
from xnn.sklearn.estimator import Estimator
from xnn.sklearn.losses import LOSSES


class Regressor(RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network that predicts numbers, as an estimator of scikit-learn's.

    Without further parameters it has one hidden layer of 100 and is trained as ``MLPRegressor`` is. It takes the
    parameters of that class by their names; the documentation lists what differs.

    Parameters
    ----------
    hidden : int or sequence of int, optional
        Widths of the hidden layers; (100,) by default. With a recipe, its one width.
    activation : str
        What follows each hidden layer: ``"relu"``, ``"tanh"``, ``"logistic"`` or ``"identity"``, or xnn's own
        ``"gelu"``, ``"silu"``, ``"elu"``, ``"leaky_relu"`` or ``"softplus"``.
    loss : "squared_error" or "huber"
        Half the squared error, summed over the targets of an example, or Huber's loss (δ = 1).
    hidden_layer_sizes : sequence of int, optional
        Another name of `hidden`, that of scikit-learn's networks.
    layers : list of Layer, or Layer, optional
        Layers of your own in place of `hidden`. To a list, a `xnn.nn.Linear` for the outputs is added, unless the list
        ends in one already. A model is used as it is, and must have one output for each target; one that is built keeps
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
    >>> import numpy as np
    >>> from xnn.sklearn import Regressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> network = Regressor(hidden=(50, 50), learning_rate_init=0.01, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> network.score(X, np.sin(X[:, 0])) > 0.95
    True
    """

    def __init__(
        self,
        hidden: Any = None,
        activation: str = "relu",
        *,
        loss: str = "squared_error",
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
        augment: Any = None,
        normalize: Any = "auto",
        dtype: Any = "auto",
        backend: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.loss = loss
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
        self.augment = augment
        self.normalize = normalize
        self.dtype = dtype
        self.backend = backend

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train for one epoch on these examples, going on with what there is; see `fit`.

        Returns
        -------
        self
        """
        return self._train(X, y, sample_weight, go_on=hasattr(self, "model_"), partial=True)

    def predict(self, X: Any) -> HostArray:  # noqa: N803
        """Return a number for each example, (n,), or several, (n, targets), as y had them."""
        outputs = self._raw(X)
        return outputs[:, 0] if self._is_single else outputs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    _y_options: ClassVar[dict[str, Any]] = {"multi_output": True, "y_numeric": True}

    _is_single: bool
    _targets: int

    def _check_y(self, y: HostArray, classes: Any, first: bool) -> HostArray:
        targets = y.reshape(-1, 1) if y.ndim == 1 else y
        if first:
            self._is_single, self._targets = y.ndim == 1, targets.shape[1]
        elif targets.shape[1] != self._targets:
            raise ValueError(f"y has {targets.shape[1]} targets, and had {self._targets} in the first fit")
        return np.asarray(targets, np.float64)

    def _check_parameters(self, partial: bool) -> None:
        super()._check_parameters(partial)
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {self.loss!r}")

    def _outputs(self) -> int:
        return self._targets

    def _loss(self, label_smoothing: float) -> Any:
        return LOSSES[self.loss]()

    def _score(self, outputs: HostArray, targets: HostArray, weight: HostArray | None) -> float:
        return float(r2_score(targets, outputs, sample_weight=weight))

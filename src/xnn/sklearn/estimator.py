"""What `Classifier` and `Regressor` share: their parameters, and how they train and compute."""

import math
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from xnn import _checks
from xnn._typing import Array
from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.data.splits import HostArray
from xnn.errors import NonFiniteLoss
from xnn.optim import Optimizer
from xnn.runs.assembly import EVALUATION_BATCH
from xnn.runs.network import WHITENING_IMAGES
from xnn.sklearn import inputs
from xnn.sklearn.cores import keep_to_the_share
from xnn.sklearn.examples import Examples
from xnn.sklearn.penalty import set_decay
from xnn.sklearn.plans import Plan, Problem, plan_of
from xnn.sklearn.watching import Watch
from xnn.training import History, Trainer


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base of the estimators. A subclass encodes y, names its loss, and makes answers of the network's outputs."""

    _optimizer: Optimizer | None
    model_: Any
    input_shape_: tuple[int, ...]
    mean_: HostArray | None
    scale_: HostArray | None

    # What a subclass says ----------------------------------------------------------------------------------

    def _check_y(self, y: HostArray, classes: Any, first: bool) -> HostArray:
        """Return targets as the loss takes them; `first` says that there is nothing to go on with."""
        raise NotImplementedError

    def _outputs(self) -> int:
        """Return how many outputs the network needs."""
        raise NotImplementedError

    def _loss(self, label_smoothing: float) -> Any:
        """Return the loss of training."""
        raise NotImplementedError

    def _weight(self, y: HostArray, sample_weight: HostArray | None, partial: bool) -> HostArray | None:
        """Return the examples' weights, of which y as it was given may decide."""
        return sample_weight

    def _score(self, outputs: HostArray, targets: HostArray, weight: HostArray | None) -> float:
        """Return how good outputs are; larger is better."""
        raise NotImplementedError

    _y_options: ClassVar[dict[str, Any]] = {}
    """How scikit-learn checks y."""

    # Training ----------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Train a new network, or with ``warm_start=True`` go on with the one there is.

        Parameters
        ----------
        X : array or table (n, features), or array of images (n, height, width, channels)
            Finite numbers, not sparse.
        y : array (n,), or (n, targets) for a regressor
        sample_weight : array (n,), optional
            At least 0. A weight of 2 counts as the same example twice, one of 0 as none.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            A parameter or the data cannot be used.
        NonFiniteLoss
            Training diverged: the data needs to be scaled, or the learning rate to be lower.
        """
        return self._train(X, y, sample_weight, go_on=self.warm_start and hasattr(self, "model_"))

    def _train(
        self, given_x: Any, given_y: Any, sample_weight: Any, *, go_on: bool, partial: bool = False, classes: Any = None
    ) -> Self:
        keep_to_the_share()
        self._check_parameters(partial)
        x, y = inputs.checked(self, given_x, given_y, reset=not go_on, with_y=True, **self._y_options)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, x, ensure_non_negative=True)
        weight = self._weight(y, weight, partial)
        targets = self._check_y(y, classes, not go_on)
        if weight is not None:
            # An example without weight is no example: batches and scales are those of the others.
            x, targets, weight = x[weight > 0], targets[weight > 0], weight[weight > 0]
            if not len(x):
                raise ValueError("sample_weight: at least one example needs a weight above 0")
        if not go_on:
            self._begin(x)
        scale: inputs.Scale | None = self._scale
        x = inputs.arrays_for(x, self.input_shape_, scale, self._dtype)
        x, targets, weight, held_out = self._divided(x, targets, weight, partial)
        plan = self._plan(x, weight, go_on)
        self._run(plan, x, targets, weight, held_out, go_on=go_on, partial=partial)
        return self

    def _check_parameters(self, partial: bool) -> None:
        """Raise a ValueError unless the parameters that are numbers or flags are in their ranges."""
        optional: dict[str, Callable[[str, Any], object]] = {
            "max_iter": lambda name, value: _checks.count(name, value, 1),
            "alpha": _checks.non_negative,
            "learning_rate_init": _checks.positive,
            "momentum": _checks.fraction,
            "label_smoothing": _checks.fraction,
        }
        for name, check in optional.items():
            if getattr(self, name, None) is not None:
                check(name, getattr(self, name))
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            _checks.count("batch_size, unless it is 'auto',", self.batch_size, 1)
        _checks.non_negative("tol", self.tol)
        if self.n_iter_no_change != math.inf:
            _checks.count("n_iter_no_change, unless it is infinite,", self.n_iter_no_change, 1)
        if self.early_stopping:
            if partial:
                raise ValueError("partial_fit does not support early_stopping=True: it cannot hold examples out")
            _checks.open_fraction("validation_fraction", self.validation_fraction)
        if self.hidden_layer_sizes is not None and self.hidden is not None:
            raise ValueError("hidden and hidden_layer_sizes are names for the same: give one of them")
        if not isinstance(self.normalize, bool | np.bool_) and self.normalize != "auto":
            raise ValueError(f"normalize must be True, False or 'auto', not {self.normalize!r}")

    def _begin(self, x: HostArray) -> None:
        """Forget what earlier calls of `fit` have learned, and choose what all later ones keep."""
        shape = inputs.shape_of(x, self.image_shape)
        self.input_shape_ = shape
        self._seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self._dtype = inputs.type_for(x, self.dtype)
        wanted = len(shape) == 3 if self.normalize == "auto" else self.normalize
        scale = self._scale = inputs.Scale(x.reshape(len(x), *shape)) if wanted else None
        self.mean_, self.scale_ = (None, None) if scale is None else (scale.mean, scale.deviation)
        self._optimizer = None
        self.loss_curve_: list[float] = []
        self.t_ = 0
        self.__dict__.pop("model_", None)

    def _divided(
        self, x: HostArray, targets: HostArray, weight: HostArray | None, partial: bool
    ) -> tuple[HostArray, HostArray, HostArray | None, tuple[Any, ...] | None]:
        """Return what is trained on, and what is held out to stop early."""
        if not self.early_stopping or partial:
            return x, targets, weight, None
        parts = train_test_split(
            *(x, targets, *(() if weight is None else (weight,))),
            test_size=self.validation_fraction,
            random_state=self._seed,
            stratify=targets if targets.dtype.kind == "i" else None,
        )
        own, others = parts[::2], parts[1::2]
        if len(others[0]) < 2:
            raise ValueError(
                f"early_stopping=True holds out {len(others[0])} examples, and needs two or more: give more data, or a "
                "larger validation_fraction"
            )
        none = () if weight is not None else (None,)
        return *own, *none, (*others, *none)

    def _plan(self, x: HostArray, weight: HostArray | None, go_on: bool) -> Plan:
        backend: Backend = self.model_.backend if go_on else make_backend(self.backend)
        problem = Problem(
            self.input_shape_,
            self._outputs(),
            len(x),
            1.0 if weight is None else float(np.mean(weight)),
            self._seed,
            self._dtype,
            backend,
            lambda: x[:WHITENING_IMAGES],
        )
        own = self.get_params(deep=False)
        if own["hidden"] is None:
            own["hidden"] = own["hidden_layer_sizes"]
        return plan_of(own, problem, self.model_ if go_on else None)

    def _run(
        self,
        plan: Plan,
        x: HostArray,
        targets: HostArray,
        weight: HostArray | None,
        held_out: tuple[Any, ...] | None,
        *,
        go_on: bool,
        partial: bool,
    ) -> None:
        model, loss = plan.model, self._loss(plan.label_smoothing)
        optimizer = self._optimizer if partial and self._optimizer is not None else plan.make_optimizer()
        if partial and plan.schedule is not None:
            # A schedule that has come to its end leaves a rate of 0.
            optimizer.lr = plan.lr
        set_decay(optimizer, plan.weight_decay)
        batches = Examples(
            x,
            targets,
            plan.batch_size,
            backend=model.backend,
            dtype=model.dtype,
            sample_weight=weight,
            shuffle=bool(self.shuffle),
            seed=self._seed,
            first=len(self.loss_curve_),
            augment=plan.augment,
        )
        watch = self._watch(plan, held_out, partial)
        trainer = Trainer(
            model,
            optimizer,
            schedule=None if plan.schedule is None or partial else plan.schedule(len(batches)),
            loss=loss,
            callbacks=[*([] if go_on or partial else plan.callbacks(batches)), watch],
            log_every=2**62,
        )
        # Not before: what raised an error above must not leave a network that has learned nothing.
        self.model_, self._optimizer = model, optimizer
        self._dtype, self._predict = model.dtype, plan.predict
        before = self.loss_curve_
        epochs = 1 if partial else plan.epochs
        try:
            trainer.fit(batches, epochs=epochs)
        except NonFiniteLoss as error:
            if not go_on:
                del self.model_
            # What the trainer says of the data stays; its other advice is for the command line.
            what, _, reason = str(error).partition(": ")
            if "data holds" not in reason:
                reason = f"scale X, as with StandardScaler, or take a smaller learning_rate_init than {plan.lr:g}"
            raise NonFiniteLoss(f"{what}: {reason}") from None
        finally:
            self.loss_curve_ = before + [float(loss) for loss in trainer.history.column("train_loss")]
            self.n_iter_ = len(trainer.history)
            self.t_ += len(x) * self.n_iter_
        self.history_ = History(trainer.history)
        self._note(plan, watch, epochs, partial)

    def _watch(self, plan: Plan, held_out: tuple[Any, ...] | None, partial: bool) -> Watch:
        score = None
        if held_out is not None:
            x, targets, weight = held_out

            def score() -> float:
                return self._score(self._computed(x), targets, weight)

        watches = not partial and (plan.steady or held_out is not None)
        patience = self.n_iter_no_change if watches else math.inf
        return Watch(patience, self.tol, score=score, adaptive=plan.adaptive, report=print if self.verbose else None)

    def _note(self, plan: Plan, watch: Watch, epochs: int, partial: bool) -> None:
        """Keep what training came to, and warn if it ended before it had converged."""
        self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = min(self.loss_curve_) if not self.early_stopping else None
        self.validation_scores_ = list(watch.scores) if self.early_stopping else None
        self.best_validation_score_ = watch.best if self.early_stopping else None
        self.n_outputs_ = self._outputs()
        if plan.steady and not partial and not watch.stopped and self.n_iter_no_change != math.inf:
            warnings.warn(
                f"training reached max_iter={epochs} epochs and has not converged yet; give more, or a larger tol",
                ConvergenceWarning,
                stacklevel=5,
            )

    # Answers -----------------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _raw(self, given: Any) -> HostArray:
        """Return the network's outputs (n, outputs) for what a user gives."""
        check_is_fitted(self)
        x = inputs.checked(self, given, reset=False, with_y=False)
        return self._computed(inputs.arrays_for(x, self.input_shape_, self._scale, self._dtype))

    def _computed(self, x: HostArray) -> HostArray:
        model = self.model_
        outputs = np.empty((len(x), *model.output_shape), model.dtype)
        with model.computing():
            for start in range(0, len(x), EVALUATION_BATCH):
                piece: Array = model.backend.asarray(x[start : start + EVALUATION_BATCH], model.dtype)
                outputs[start : start + EVALUATION_BATCH] = model.backend.to_numpy(self._predict(piece))
        return outputs

"""The same network on the same data, trained by xnn and by scikit-learn's ``MLPClassifier``.

These are the same: the images (in float32, normalised by the training set's mean and deviation), the hidden layers and
their widths, ReLU, the cross-entropy, the batch size, the number of epochs, the optimizer's rule (SGD, with Nesterov's
momentum if there is momentum, or Adam) and its constant step size, and the penalty on the weights.

These differ: initial weights and shuffles come from different generators, scikit-learn draws weights by Glorot's rule
while xnn uses He's, and scikit-learn's training loss includes the penalty, if there is one. ``MLPClassifier`` has no
batch normalization, AdamW or schedules, so neither library uses them.
"""

import dataclasses
import time
from typing import Any

import numpy as np

from xnn import nn
from xnn._typing import Report
from xnn.data import Normalization, Split
from xnn.data.splits import HostArray
from xnn.errors import SettingError, UserError, to_install
from xnn.kernels import threads
from xnn.runs.assembly import Job, prepare
from xnn.runs.defaults import check_names
from xnn.runs.settings import Settings, known
from xnn.runs.trainer import make_trainer
from xnn.training.view_averaging import over_views, views_of

OPTIMIZERS = ("sgd", "adam")
"""Optimizers that both libraries have."""

KEPT = ("dataset", "data_dir", "labels", "model", "hidden", "dtype", "threads", "epochs", "l2", "seed")
"""Settings of the comparison that also apply when the model is trained with its own settings."""

COLUMNS = ("trained by", "network", "seconds", "training loss", "test accuracy")
"""Names of the cells that `cells_of` returns."""


@dataclasses.dataclass(frozen=True)
class Entrant:
    """A trained network.

    Attributes
    ----------
    name
        The library, and what is special about this training.
    network
        A short form of its layers.
    seconds
        How long training took, with the data in memory and without evaluations.
    train_loss
        Mean over the last epoch.
    accuracy
        On the test images.
    test_views
        Over how many views of each test image it is averaged.

    Examples
    --------
    >>> from xnn.runs.beside_sklearn import Entrant
    >>> Entrant("xnn", "784-512-512-10", seconds=9.5, train_loss=0.29, accuracy=0.88).test_views
    1
    """

    name: str
    network: str
    seconds: float
    train_loss: float
    accuracy: float
    test_views: int = 1


def classifier_class() -> Any:
    """Return scikit-learn's ``MLPClassifier``.

    Raises
    ------
    UserError
        scikit-learn is not installed, or cannot be imported.
    """
    try:
        from sklearn.neural_network import MLPClassifier
    except ImportError as error:
        raise UserError(
            f"scikit-learn cannot be imported ({error}); install it with: {to_install('compare')}"
        ) from error
    return MLPClassifier


def plain_settings(given: Settings) -> Settings:
    """Return settings that both libraries can train with: those given, and defaults that suit a plain network.

    Raises
    ------
    SettingError
        A given setting is not in ``MLPClassifier``, or the model is not made of linear layers.
    """
    check_names(given)
    if given.model not in ("mlp", "lab6"):
        raise SettingError(f"--model {given.model}: scikit-learn has linear layers only; choose mlp or lab6")
    optimizer = given.optimizer or ("sgd" if given.model == "lab6" else "adam")
    if optimizer not in OPTIMIZERS:
        raise SettingError(f"--optimizer {optimizer}: both libraries have {' and '.join(OPTIMIZERS)}; choose one")
    plain: dict[str, Any] = {"schedule": "constant", "label_smoothing": 0.0, "augment": ("none",), "test_views": 1}
    plain |= {"mixup_alpha": Settings.mixup_alpha, "cutmix_alpha": Settings.cutmix_alpha}
    if given.model != "lab6" or given.l2 is not None:  # by default lab6 has weight decay, which is the lab's penalty
        plain["weight_decay"] = 0.0
    return dataclasses.replace(given, optimizer=optimizer, average=0.0, backend="numpy", **plain)


def compare(given: Settings, report: Report | None = None) -> list[Entrant]:
    """Train a model's plain network with both libraries, then the model as it is, if that is a different network.

    Parameters
    ----------
    given : Settings
        Data set, model, epochs and whatever else should not have its default.
    report : callable, optional
        Takes lines for people.

    Returns
    -------
    list of Entrant
        xnn, scikit-learn, and perhaps the model with everything that xnn has for it.

    Raises
    ------
    UserError
        A setting or the data cannot be used, or scikit-learn is missing.
    NonFiniteLoss
        Training diverged.
    """
    say = report or (lambda line: None)
    classifier = classifier_class()
    job = _plain_job(prepare(plain_settings(given), report))
    widths = _widths(job.model)
    name = "-".join(map(str, widths))
    settings = job.settings
    say(
        f"both: {name} with ReLU, {settings.optimizer}, step size {settings.lr:g}, batches of {settings.batch_size}, "
        f"{settings.epochs} epochs"
    )
    entrants = [_by_xnn(job, "xnn", name)]
    say(_line(entrants[-1]))
    entrants.append(_by_sklearn(classifier, job, name))
    say(_line(entrants[-1]))
    if settings.model == "mlp":
        # With its own optimizer, step size, schedule and normalization, but the same size and batches.
        own = Settings(
            **{field: getattr(given, field) for field in KEPT}, backend="numpy", batch_size=settings.batch_size
        )
        entrants.append(_by_xnn(prepare(own), "xnn, --model mlp", f"{name} with batch norm, AdamW, one-cycle"))
        say(_line(entrants[-1]))
    return entrants


def _line(entrant: Entrant) -> str:
    told = over_views(f"{100 * entrant.accuracy:.2f} % of the test images", entrant.test_views)
    return f"{entrant.name}: {told}, {entrant.seconds:.1f} s"


def _plain_job(job: Job) -> Job:
    """Replace the model by its linear layers with ReLU between them."""
    *hidden, last = _widths(job.model)[1:]
    layers: list[nn.Layer] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(last))
    model.build(job.dataset.image_shape, backend=job.backend, seed=job.settings.seed, dtype=job.settings.dtype)
    return dataclasses.replace(job, model=model)


def _widths(model: nn.Sequential) -> list[int]:
    """Return the lengths of the vectors between the linear layers, the image's first."""
    linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    return [int(linear[0].input_shape[0]), *(int(layer.output_shape[0]) for layer in linear)]


def _by_xnn(job: Job, name: str, network: str) -> Entrant:
    epochs = known(job.settings.epochs)
    _compile(job)
    trainer = make_trainer(job, [])
    start = time.perf_counter()
    history = trainer.fit(job.train, epochs=epochs)
    seconds = time.perf_counter() - start
    accuracy = trainer.evaluate(job.test).accuracy
    views = views_of(trainer.predict)
    return Entrant(name, network, seconds, history[-1]["train_loss"], float(accuracy or 0.0), views)


def _compile(job: Job) -> None:
    """Take a few steps and undo them, so that compiling at first use is not timed."""
    settings = dataclasses.replace(job.settings, epochs=1, warmup=0.0)
    few = job.train.split.take(np.arange(min(2 * job.train.batch_size, len(job.train.split))))
    train = dataclasses.replace(job.train, split=few)
    state = job.model.state_dict()
    make_trainer(dataclasses.replace(job, settings=settings, train=train), []).fit(train, epochs=1)
    job.model.load_state_dict(state)


def _by_sklearn(classifier: Any, job: Job, network: str) -> Entrant:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    settings, epochs = job.settings, known(job.settings.epochs)
    x, labels = _numbers(job.train.split, job.normalization, settings.dtype)
    test_x, test_labels = _numbers(job.test.split, job.normalization, settings.dtype)
    batch = min(known(settings.batch_size), len(labels))
    momentum = settings.momentum or 0.0
    model = classifier(
        tuple(_widths(job.model)[1:-1]),
        solver=settings.optimizer,
        learning_rate_init=settings.lr,
        momentum=momentum,
        nesterovs_momentum=momentum > 0.0,
        # It divides its penalty by the batch size; for SGD and Adam, weight decay is the same as a penalty.
        alpha=(known(settings.l2) + known(settings.weight_decay)) * batch,
        batch_size=batch,
        max_iter=epochs,
        # Train for all the epochs.
        n_iter_no_change=epochs + 1,
        random_state=settings.seed,
    )
    with warnings.catch_warnings(), threadpool_limits(threads.count()):
        # It would warn that so few epochs have not converged; they need not converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        model.fit(x, labels)
        seconds = time.perf_counter() - start
        accuracy = float(np.mean(model.predict(test_x) == test_labels))
    return Entrant("scikit-learn", network, seconds, float(model.loss_), accuracy)


def _numbers(split: Split, normalization: Normalization, dtype: str) -> tuple[HostArray, HostArray]:
    pixels = normalization(np.asarray(split.images), dtype)
    return pixels.reshape(len(split), -1), np.asarray(split.labels, np.int64)


def markdown(entrants: list[Entrant]) -> str:
    """Return the entrants as a Markdown table."""
    lines = [COLUMNS, ("---", "---", "---:", "---:", "---:"), *map(cells_of, entrants)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cells_of(entrant: Entrant) -> tuple[str, ...]:
    """Return an entrant's row as text."""
    accuracy = over_views(f"{100 * entrant.accuracy:.2f} %", entrant.test_views)
    return entrant.name, entrant.network, f"{entrant.seconds:.2f}", f"{entrant.train_loss:.4f}", accuracy

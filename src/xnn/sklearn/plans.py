"""How an estimator is trained: by its own parameters, or by a recipe where these leave it open."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xnn import nn, optim, recipes
from xnn._typing import Array, Shape
from xnn.backends import Backend
from xnn.data import Compose
from xnn.data.splits import HostArray
from xnn.errors import suggest
from xnn.optim.tables import OPTIMIZERS, SCHEDULES, make_optimizer
from xnn.runs.augmentation import augmentation
from xnn.runs.defaults import resolve
from xnn.runs.network import FIRST_BIAS, prepare_first_layer
from xnn.runs.settings import AUGMENTATIONS, MIXINGS, Settings, known
from xnn.runs.trainer import FEW_STEPS, optimizer_of, schedule_of
from xnn.sklearn import networks
from xnn.sklearn.penalty import decay_of
from xnn.tasks import Task
from xnn.training import Callback
from xnn.training.freezing import FadeOut
from xnn.training.loaders import Loader
from xnn.training.renewing import RenewStatistics
from xnn.training.view_averaging import predictor

ADAPTIVE = "adaptive"
"""The learning rate that falls when nothing improves, which is no schedule."""

_STEADY = ("constant", ADAPTIVE)
"""Learning rates that do not need to know how long training takes."""


@dataclass(frozen=True)
class Problem:
    """What is to be learned.

    Attributes
    ----------
    shape
        Of an example.
    outputs
        Classes, or targets.
    examples
        How many are trained on.
    weight
        Their mean weight.
    seed, dtype, backend
        As `xnn.nn.Layer.build` takes them.
    first_images
        Returns the first training images as the network takes them.
    """

    shape: Shape
    outputs: int
    examples: int
    weight: float
    seed: int
    dtype: str
    backend: Backend
    first_images: Callable[[], HostArray]


@dataclass
class Plan:
    """A model and how to train it.

    Attributes
    ----------
    model
        Built.
    make_optimizer
        Returns a new optimizer of the model.
    lr
        The optimizer's learning rate, or the highest one of the schedule.
    weight_decay
        The optimizer's; that of its first part if it has several.
    schedule
        ``batches an epoch -> (step -> rate)``; None keeps the optimizer's rate.
    adaptive
        Whether the rate falls when nothing improves.
    callbacks
        ``batches -> callbacks`` for a training from the beginning.
    predict
        From a batch to its outputs.
    """

    model: nn.Layer
    make_optimizer: Callable[[], optim.Optimizer]
    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    label_smoothing: float
    schedule: Callable[[int], Callable[[int], float]] | None
    adaptive: bool
    augment: Compose | None
    predict: Callable[[Array], Array]
    callbacks: Callable[[Loader], list[Callback]] = field(default=lambda batches: [])

    @property
    def steady(self) -> bool:
        """Whether training may stop at any epoch, since the rate does not wait for the last one."""
        return self.schedule is None


def plan_of(own: Mapping[str, Any], problem: Problem, model: nn.Layer | None) -> Plan:
    """Return the plan for an estimator's parameters, for a model that it has already or for a new one."""
    if own["recipe"] is not None:
        if own["layers"] is not None:
            raise ValueError("recipe and layers cannot both be given: a recipe has layers of its own")
        return _of_recipe(own, problem, model)
    return _of_parameters(own, problem, model)


def _of_parameters(own: Mapping[str, Any], problem: Problem, model: nn.Layer | None) -> Plan:
    if model is None:
        model = _network(own, problem)
    batch_size = batch_size_of(own["batch_size"], 200, problem.examples)
    epochs, solver = _or(own["max_iter"], 200), _or(own["solver"], "adam")
    _check_solver(solver)
    rate = _or(own["learning_rate"], "constant")
    _check_rate(rate)
    muon = solver == "muon"
    lr = _or(own["learning_rate_init"], OPTIMIZERS[solver].settings["lr"] if muon else 1e-3)
    if muon and own["alpha"] is None:
        decay = OPTIMIZERS[solver].settings["weight_decay"]
    else:
        decay = decay_of(_or(own["alpha"], 1e-4), batch_size, problem.weight)
    augment = _augmentation(own["augment"], (), epochs, problem)
    return Plan(
        model,
        lambda: _optimizer(solver, model, lr, decay, own),
        lr,
        decay,
        batch_size,
        epochs,
        _or(own.get("label_smoothing"), 0.0),
        None if rate in _STEADY else lambda batches: SCHEDULES[rate](lr, epochs * batches, warmup_steps=0),
        rate == ADAPTIVE,
        augment,
        model,
        lambda batches: _renewing(model, epochs, batches),
    )


def _network(own: Mapping[str, Any], problem: Problem) -> nn.Layer:
    hidden = (100,) if own["hidden"] is None else networks.widths_of(own["hidden"])
    if own["layers"] is None:
        model: nn.Layer = networks.plain(hidden, own["activation"], problem.shape, problem.outputs)
    else:
        if own["hidden"] is not None:
            raise ValueError("hidden and layers cannot both be given: put the hidden layers into layers")
        model = networks.of_layers(own["layers"], problem.shape, problem.outputs)
        if networks.is_built(model):
            return model
    return model.build(problem.shape, backend=problem.backend, seed=problem.seed, dtype=problem.dtype)


def _optimizer(solver: str, model: nn.Layer, lr: float, decay: float, own: Mapping[str, Any]) -> optim.Optimizer:
    momentum = _or(own["momentum"], 0.9)
    if solver in ("adam", "adamw"):
        kind = optim.Adam if solver == "adam" else optim.AdamW
        return kind(model, lr, (own["beta_1"], own["beta_2"]), own["epsilon"], decay)
    if solver == "sgd":
        return optim.SGD(model, lr, momentum, bool(own["nesterovs_momentum"]) and momentum > 0, decay)
    settings = OPTIMIZERS[solver].settings | {"lr": lr, "weight_decay": decay}
    if own["momentum"] is not None:
        settings["momentum"] = own["momentum"]
    return make_optimizer(solver, model, decay_all=False, **settings)


def _of_recipe(own: Mapping[str, Any], problem: Problem, model: nn.Layer | None) -> Plan:
    name = own["recipe"]
    if name not in recipes.RECIPES:
        raise ValueError(
            f"recipe must be one of {', '.join(recipes.RECIPES)}, not {name!r}." + suggest(str(name), recipes.RECIPES)
        )
    recipe, shape = recipes.RECIPES[name], problem.shape
    if recipe.convolutions and len(shape) == 1:
        raise ValueError(
            f"recipe {name!r} has convolutions, for images (n, height, width, channels), and X has rows of {shape[0]} "
            "numbers; say image_shape=(height, width, channels), or take the recipe 'mlp'"
        )
    rate = own["learning_rate"]
    if rate is not None:
        _check_rate(rate)
    if own["solver"] is not None:
        _check_solver(own["solver"])
    # Rows have no neighbourhoods, so to a recipe they are a grey image.
    task = Task("examples", shape if len(shape) == 3 else (shape[0], 1, 1), problem.outputs, problem.examples)
    settings = resolve(_settings(own, name), task)
    settings = _with_sizes(settings, own, problem)
    if model is None:
        network = recipes.network(name, task, settings.hidden, known(settings.init), settings.shrink)
        network.build(shape, backend=problem.backend, seed=problem.seed, dtype=problem.dtype)
        prepare_first_layer(network, settings, problem.first_images)
        model = network
    optimizer = optimizer_of(model, settings)
    schedule = known(settings.schedule)
    plain_rate = rate == ADAPTIVE or schedule == "constant"
    made = model

    def callbacks(batches: Loader) -> list[Callback]:
        fading = settings.first_bias_epochs or 0
        begin: list[Callback] = [FadeOut(FIRST_BIAS, fading)] if fading else []
        return begin + _renewing(made, known(settings.epochs), batches)

    return Plan(
        model,
        lambda: optimizer_of(made, settings),
        optimizer.lr,
        known(settings.weight_decay),
        known(settings.batch_size),
        known(settings.epochs),
        settings.label_smoothing or 0.0,
        None if plain_rate else lambda batches: schedule_of(settings, optimizer.lr, batches),
        rate == ADAPTIVE,
        _augmentation(own["augment"], settings.augment or (), known(settings.epochs), problem, settings),
        predictor(model, settings.test_views or 1 if len(shape) == 3 else 1),
        callbacks,
    )


def _settings(own: Mapping[str, Any], recipe: str) -> Settings:
    """Return the settings that the parameters give; those that they leave open are the recipe's."""
    width = None if own["hidden"] is None else networks.widths_of(own["hidden"])
    if width is not None and len(width) != 1:
        raise ValueError(f"hidden must be one width, as all recipes have one, not {own['hidden']!r}")
    rate = own["learning_rate"]
    return Settings(
        model=recipe,
        hidden=None if width is None else width[0],
        optimizer=own["solver"],
        schedule="constant" if rate == ADAPTIVE else rate,
        lr=own["learning_rate_init"],
        momentum=own["momentum"],
        epochs=own["max_iter"],
        batch_size=None if own["batch_size"] == "auto" else own["batch_size"],
        label_smoothing=own.get("label_smoothing"),
    )


def _with_sizes(settings: Settings, own: Mapping[str, Any], problem: Problem) -> Settings:
    """Return settings with a batch that there is, and with the weight decay that `alpha` stands for."""
    batch_size = batch_size_of(own["batch_size"], known(settings.batch_size), problem.examples)
    if own["alpha"] is not None:
        settings = replace(settings, weight_decay=decay_of(own["alpha"], batch_size, problem.weight))
    return replace(settings, batch_size=batch_size)


def batch_size_of(given: Any, usual: int, examples: int) -> int:
    """Return how many examples a batch has: no more than there are."""
    return min(usual if isinstance(given, str) else given, examples)


def _renewing(model: nn.Layer, epochs: int, batches: Loader) -> list[Callback]:
    few = epochs * len(batches) < FEW_STEPS
    return [RenewStatistics(batches)] if few and len(model.buffers) else []


def _augmentation(
    given: Any, usual: tuple[str, ...], epochs: int, problem: Problem, settings: Settings | None = None
) -> Compose | None:
    names = usual if given is None else (given,) if isinstance(given, str) else tuple(given)
    allowed = [name for name in AUGMENTATIONS if name not in MIXINGS]
    for name in names:
        if name not in allowed:
            raise ValueError(f"augment must be of {', '.join(allowed)}, not {name!r}.{suggest(str(name), allowed)}")
    if len(problem.shape) == 1:
        if given is not None and names not in ((), ("none",)):
            raise ValueError("augment changes images, and X has rows; say image_shape=(height, width, channels)")
        return None
    return augmentation(replace(settings or Settings(model="mlp"), augment=names, epochs=epochs))


def _check_solver(solver: Any) -> None:
    if solver not in OPTIMIZERS:
        raise ValueError(
            f"solver must be one of {', '.join(OPTIMIZERS)}, not {solver!r}.{suggest(str(solver), OPTIMIZERS)}"
        )


def _check_rate(rate: Any) -> None:
    allowed = (*SCHEDULES, ADAPTIVE)
    if rate not in allowed:
        raise ValueError(
            f"learning_rate must be one of {', '.join(allowed)}, not {rate!r}.{suggest(str(rate), allowed)}"
        )


def _or(given: Any, usual: Any) -> Any:
    return usual if given is None else given

"""The trainer of a run: its loss, optimizer, schedule and callbacks, as the settings say."""

from xnn import nn, optim
from xnn.distributed.world import World
from xnn.optim.tables import OPTIMIZERS, SCHEDULES, make_optimizer
from xnn.runs.assembly import Job
from xnn.runs.network import FIRST_BIAS
from xnn.runs.settings import Settings, known
from xnn.training import class_weights
from xnn.training.callbacks import Callback, EarlyStopping
from xnn.training.freezing import FadeOut
from xnn.training.renewing import RenewStatistics
from xnn.training.trainer import Trainer
from xnn.training.view_averaging import predictor

FEW_STEPS = 100
"""Steps of a run below which running statistics are taken anew: they would lag too far behind the weights."""


def make_trainer(job: Job, callbacks: list[Callback], world: World | None = None) -> Trainer:
    """Return the trainer of a job, which the ranks of a world may share."""
    settings = job.settings
    if settings.early_stopping:
        callbacks = [EarlyStopping(settings.early_stopping, f"{job.held_out_name}_loss"), *callbacks]
    if known(settings.epochs) * len(job.train) < FEW_STEPS:
        callbacks = [RenewStatistics(job.train), *callbacks]
    if settings.first_bias_epochs:
        callbacks = [FadeOut(FIRST_BIAS, settings.first_bias_epochs), *callbacks]
    optimizer = optimizer_of(job.model, settings)
    smoothing = settings.label_smoothing or 0.0
    return Trainer(
        job.model,
        optimizer,
        schedule=schedule_of(settings, optimizer.lr, len(job.train)),
        loss=nn.SoftmaxCrossEntropy(smoothing, class_weight=_class_weight(job)),
        held_out_loss=nn.SoftmaxCrossEntropy(smoothing),
        penalty=nn.L2Penalty(settings.l2) if settings.l2 else None,
        clip_norm=settings.clip_norm or None,
        average=optim.ExponentialMovingAverage(job.model, settings.average) if settings.average else None,
        callbacks=callbacks,
        log_every=settings.log_every,
        # Runs from before this setting existed lack it.
        evaluate_every=settings.evaluate_every or 1,
        held_out=job.held_out_name,
        predict=predictor(job.model, settings.test_views or 1),
        world=world,
        sync_batch_norm=settings.batch_norm == "sync",
    )


def _class_weight(job: Job) -> tuple[float, ...] | None:
    if job.settings.class_weights != "balanced":
        return None
    return class_weights.balanced(job.train.split.labels, len(job.dataset.classes))


def optimizer_of(model: nn.Layer, settings: Settings) -> optim.Optimizer:
    """Return the optimizer that resolved settings name."""
    name = known(settings.optimizer)
    values = {each: known(getattr(settings, each)) for each in OPTIMIZERS[name].settings}
    return make_optimizer(name, model, settings.body_lr, decay_all=settings.decay == "all", **values)


def schedule_of(settings: Settings, lr: float, batches: int) -> optim.Schedule:
    """Return the learning rate's schedule."""
    total = known(settings.epochs) * batches
    warmup = min(round((settings.warmup or 0.0) * batches), total - 1)
    return SCHEDULES[known(settings.schedule)](lr, total, warmup_steps=warmup)

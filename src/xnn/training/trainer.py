"""The training loop."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from xnn import _checks, nn
from xnn._typing import Array
from xnn.errors import NonFiniteLoss
from xnn.optim import ExponentialMovingAverage, Optimizer
from xnn.training import showing, state
from xnn.training.callbacks import Callback
from xnn.training.evaluation import Interrupted, evaluate
from xnn.training.facts import facts_of
from xnn.training.history import History, IntervalRow, epoch_row, is_judged
from xnn.training.loaders import Data, Loader, closing, loader_of, what_is_not_finite
from xnn.training.loss_scaling import LossScaler, LossScaling
from xnn.training.metrics import Meter, Metrics, Sums
from xnn.training.scores import Metric, check_names
from xnn.training.stopwatch import Stopwatch, working_clock
from xnn.training.team import Alone, Team
from xnn.training.votes import Votes

if TYPE_CHECKING:
    from xnn.distributed import World

_GLANCE = 0.25
"""Seconds after which the running loss is read again, for whoever is watching."""


class Trainer:
    """Trains a model and keeps count, so that it can stop after any step and resume later, bit for bit.

    Parameters
    ----------
    model
        A built `nn.Layer` whose output the loss takes.
    optimizer
        Of that model.
    schedule
        Learning rate as a function of the global step; None keeps the optimizer's own.
    loss
        ``loss.forward(output, labels) -> (loss, pullback)``, a mean over the batch; softmax cross-entropy by default.
        Where batches have a sample weight, it gets that as the third argument.
    held_out_loss
        The loss of every evaluation; by default that of training. To leave out the weights of classes, for example, so
        that it is a plain mean over the examples.
    penalty
        ``penalty.forward(model) -> (loss, pullback)`` added to the loss; its pullback adds to the gradients.
    clip_norm
        Largest norm of the gradient.
    average
        Moving average of the weights; evaluation uses it.
    loss_scaling
        How the loss is scaled before its pullback. None leaves it as it is, except for a model in float16, whose
        gradients need scaling.
    callbacks
        Called in order; see `Callback`.
    metrics
        What evaluation measures besides loss and accuracies, by names such as ``"f1"``; see `Metric`. The values stand
        in the history, as ``validation_f1``, and in what `evaluate` returns. They are not taken of training batches.
    log_every
        Steps between two `Callback.interval` calls.
    held_out
        Name of the second data set of `fit` in the history.
    evaluate_every
        Epochs from one evaluation on that data set to the next; the last epoch always has one.
    world
        The processes that train together, each with its share of every batch; see `xnn.distributed.mpi`. All of them
        make the same trainer and the same calls. Whatever the number of ranks, the training is the same but for
        rounding.
    sync_batch_norm
        Whether batch normalization in training takes the mean and variance of the whole batch. Otherwise each rank
        takes those of its own images, which saves messages but trains differently, the more so the fewer images a rank
        has; the running statistics are the ranks' average.
    predict
        ``x -> output`` for `evaluate`, such as the mean over several views of each image; by default the model itself,
        which is also what the epochs' own rows always use.

    Attributes
    ----------
    epoch, batch, step : int
        Whole epochs done, batches done in the next epoch, and steps done in all.
    epochs, first_epoch : int
        Of the present `fit`: after how many epochs in all it ends, and how many of them earlier calls did. Before the
        first call both are 0; with `until` the second is 0, since that goes on with what was begun.
    history : History
        One row for each whole epoch.
    clock, epoch_clock : Stopwatch
        Time spent in `fit`, and in the steps of the present epoch, what came before a resume included. The second
        stands still while kernels are compiled, which happens once and says nothing of a step.
    last_lr : float or None
        Learning rate of the last step (the optimizer's may have changed since); None before the first.
    stop_reason : str or None
        Why `fit` returned before all epochs were done.
    scaler : LossScaler or None
        What scales the loss; an interval's row then also has the scale and the number of skipped steps.

    Examples
    --------
    >>> import xnn
    >>> from xnn import nn, optim
    >>> x, labels = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]  # exclusive or
    >>> model = nn.Sequential(nn.Linear(16), nn.Tanh(), nn.Linear(2)).build((2,), backend="numpy", seed=0)
    >>> trainer = xnn.Trainer(model, optim.Adam(model, lr=0.05))
    >>> history = trainer.fit((x, labels), epochs=50)
    >>> trainer.evaluate((x, labels)).accuracy
    1.0
    >>> model.predict(x).argmax(-1)
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        model: nn.Layer,
        optimizer: Optimizer,
        *,
        schedule: Callable[[int], float] | None = None,
        loss: Any = None,
        held_out_loss: Any = None,
        penalty: Any = None,
        clip_norm: float | None = None,
        average: ExponentialMovingAverage | None = None,
        loss_scaling: LossScaling | None = None,
        callbacks: Sequence[Callback] = (),
        metrics: Mapping[str, Metric] | None = None,
        log_every: int = 50,
        held_out: str = "validation",
        evaluate_every: int = 1,
        predict: Callable[[Array], Array] | None = None,
        world: "World | None" = None,
        sync_batch_norm: bool = True,
    ) -> None:
        _checks.count("log_every", log_every, 1)
        _checks.count("evaluate_every", evaluate_every, 1)
        for name, part in (("optimizer", optimizer), ("average", average)):
            if part is not None and part.model is not model:
                raise ValueError(f"the {name} is of another model; make it of the model that is to be trained")
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = nn.SoftmaxCrossEntropy() if loss is None else loss
        self.held_out_loss = self.loss if held_out_loss is None else held_out_loss
        self.penalty = penalty
        self.clip_norm = clip_norm
        self.average = average
        if loss_scaling is None and model.precision == "float16":
            loss_scaling = LossScaling()
        self.scaler = None if loss_scaling is None else LossScaler(loss_scaling, model, optimizer, average)
        self.callbacks = list(callbacks)
        self.metrics = check_names(metrics or {})
        self.log_every = log_every
        self.held_out = held_out
        self.evaluate_every = evaluate_every
        self.predict = model if predict is None else predict
        self.sync_batch_norm = sync_batch_norm
        self.team: Team = Alone() if world is None or world.size == 1 else world.team(model, optimizer, sync_batch_norm)

        self.epoch = self.batch = self.step = 0
        self.epochs = self.batches = self.first_epoch = 0
        self.last_lr: float | None = None
        self.history = History()
        self.clock, self.epoch_clock = Stopwatch(), working_clock()
        self.stop_reason: str | None = None
        self._to_resume = False
        self._votes = Votes(self.team)
        self._train: Loader | None = None
        self.evaluating = False
        self.evaluated = self.to_evaluate = 0
        self.epoch_sums, self.interval_sums = Sums(), Sums()
        self._meter = self._new_meter()
        self._add_losses = nn.LossSum().forward

    def fit(
        self,
        train: Data,
        validation: Data | None = None,
        *,
        epochs: int | None = None,
        until: int | None = None,
        batch_size: int = 128,
        progress: bool | None = None,
    ) -> History:
        """Train for `epochs` more epochs, or until there are `until` in all.

        The rest of an epoch in which training stopped counts as one. A second call goes on with the weights, the
        optimizer's state and the number of steps, by which a schedule has its rate; the data may be another then.

        Parameters
        ----------
        train, validation
            `Batches`, or arrays ``(x, labels)`` or ``(x, labels, sample_weight)``.
        epochs
            How many more, 1 or more.
        until
            How many in all, those of earlier calls and before a resume included; nothing is done if there are as many
            already. Give either this or `epochs`.
        batch_size
            For arrays.
        progress
            Whether to show how far training has come. By default it is shown in a notebook and nowhere else.

        Returns
        -------
        History
            One row for each whole epoch, also of earlier calls.

        Raises
        ------
        NonFiniteLoss
            A loss became NaN or infinite; what was saved before is unchanged.
        ValueError, TypeError
            The data does not fit the model, or ranks differ in weights, data or settings.
        """
        whole = self._loader(train, batch_size, shuffle=True)
        held_out = None if validation is None else self._loader(validation, batch_size, shuffle=False)
        total, self.first_epoch = self._goal(epochs, until)
        self.team.agree(lambda: facts_of(self, whole, held_out, total))
        train = self.team.shared(whole)
        validation = None if held_out is None else self.team.shared(held_out)
        if self.batch > len(train):
            raise ValueError(
                f"training stopped after batch {self.batch} of an epoch, and this data has {len(train)} batches an "
                "epoch; finish that epoch with the data it was begun with"
            )
        self._train, self.epochs, self.batches = train, total, len(train)
        self.stop_reason, self._to_resume = None, False
        # Another backend may have been made since the model was built.
        self.model.backend.activate()
        # Overflow shows up as a loss that is not finite, which is an error here, not a warning.
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with showing.fitting(self, progress), self.clock.running(), self.model.computing(), quiet:
            self._call("fit_begin")
            while self.epoch < total and not self._stops():
                self._run_epoch(train, validation)
                if self.batch == 0:
                    self._call("epoch_end", self.history[-1])
            self._call("fit_end")
        return self.history

    def _goal(self, epochs: int | None, until: int | None) -> tuple[int, int]:
        """Return after how many epochs in all to end, and how many of them belong to earlier calls."""
        if epochs is not None and until is None:
            return self.epoch + _checks.count("epochs", epochs, 1), self.epoch
        if until is not None and epochs is None:
            return _checks.count("until", until, 1), 0
        raise ValueError("fit needs either epochs=N, for N more, or until=N, for N in all")

    def request_stop(self, reason: str, *, to_resume: bool = False) -> None:
        """Make `fit` return after the step it is in; safe to call from a signal handler.

        With `to_resume`, training is to be resumed some other time: then `interrupted` is true, unless all epochs were
        done. If training is already about to stop for another reason, that reason stays.
        """
        if to_resume and self.stop_reason is not None:
            return
        self.stop_reason = reason
        self._to_resume = to_resume

    def _stops(self) -> bool:
        """Whether to stop: all ranks do so after the same step, whichever was asked to."""
        stop = self._votes.stop(self.stop_reason, self._to_resume)
        if stop is not None:
            # Nothing is written otherwise: a signal may have asked to stop meanwhile.
            self.stop_reason, self._to_resume = stop
        return stop is not None

    def saves_together(self, due: bool) -> bool:
        """Whether to save after this step, at which a callback finds that it is `due` by its rank's clock.

        Clocks differ, and to save is something that all ranks do after the same step. So the first rank's clock
        counts, and the others learn of it at the end of this step: they all save after the next one.
        """
        return self._votes.save(due)

    @property
    def interrupted(self) -> bool:
        """Whether training stopped early and should be resumed some other time."""
        return self.batch > 0 or (self._to_resume and self.epoch < self.epochs)

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of the schedule; without a schedule, the optimizer's own."""
        return float(getattr(self.schedule, "lr", self.optimizer.lr))

    def evaluate(self, data: Data, *, batch_size: int = 128, progress: bool | None = None) -> Metrics:
        """Return loss, accuracies and metrics over all of `data`, with the averaged weights where there are some.

        `batch_size` is for arrays. `progress` says whether to show a bar; by default a notebook shows one if it takes
        more than a moment.
        """
        whole = self._loader(data, batch_size, shuffle=False)
        loader = self.team.shared(whole)
        with showing.evaluating(self, whole.images, progress), self.model.backend.current():
            return evaluate(self, loader, self.predict, self._new_meter(top5=True))

    def state_dict(self) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
        """Return all that `load_state_dict` needs: arrays by name, and the rest as a JSON-able dict.

        It may be called after any step, also in the middle of an epoch.
        """
        self._flush()
        self.team.complete()
        return state.save(self)

    def load_state_dict(self, arrays: Mapping[str, np.ndarray[Any, Any]], info: Mapping[str, Any]) -> None:
        """Return to the point where `state_dict` was called; model and optimizer must have the same settings.

        Which parameters are frozen is one of these settings, and not in the state: freeze them before going on.

        Raises
        ------
        ValueError
            The state is of another model or optimizer.
        """
        with self.model.backend.current():
            state.load(self, arrays, info)
        # Losses that have not been read, as after an exception, belong to the state before loading.
        self._meter = self._new_meter()

    def _new_meter(self, top5: bool = False) -> Meter:
        # What other losses take may look alike and be no distribution.
        return Meter(
            self.model.backend, top5, distributions=isinstance(self.loss, nn.SoftmaxCrossEntropy), team=self.team
        )

    def _loader(self, data: Data, batch_size: int, *, shuffle: bool) -> Loader:
        return loader_of(data, batch_size, shuffle=shuffle, model=self.model, loss=self.loss)

    def _run_epoch(self, train: Loader, validation: Loader | None) -> None:
        """Do the rest of the present epoch; unless it was stopped, add its row and go to the next."""
        self._call("epoch_begin")
        self._votes.ask_who_reads(self.callbacks)
        with self.epoch_clock.running():
            with closing(train.epoch(self.epoch, self.batch)) as batches:
                try:
                    self._train_batches(batches)
                finally:
                    self.team.abandon()
            self.model.backend.synchronize()
        if self.batch < len(train):
            return
        is_due = is_judged(self.epoch + 1, self.evaluate_every, self.epochs)
        try:
            held_out = None
            if validation is not None and is_due:
                held_out = evaluate(self, validation, self.model, self._new_meter(top5=True), self._stops)
        except Interrupted:
            return
        if held_out is not None and not math.isfinite(held_out.loss):
            fault = what_is_not_finite(validation, self.held_out)
            raise self._non_finite(f"the {self.held_out} loss", held_out.loss, self.step, fault)
        seconds = self.epoch_clock.elapsed
        row = epoch_row(self.epoch + 1, self.epoch_sums.metrics(), held_out, self.held_out, self.last_lr, seconds)
        self.history.append(row)
        self.epoch += 1
        self.batch = 0
        self.epoch_sums, self.epoch_clock = Sums(), working_clock()

    def _train_batches(self, batches: Iterable[tuple[Array, ...]]) -> None:
        """Take a step for each batch. This is the hot loop: a batch of one image takes microseconds."""
        forward, loss_forward, step_optimizer = self.model.forward, self.loss.forward, self.optimizer.step
        step_hooks = [c.step_end for c in self.callbacks if type(c).step_end is not Callback.step_end]
        optimizer, schedule, average, scaler = self.optimizer, self.schedule, self.average, self.scaler
        clip_norm, log_every, note = self.clip_norm, self.log_every, self._meter.add
        is_plain = self.penalty is None and scaler is None
        team, is_alone = self.team, isinstance(self.team, Alone)
        if step_hooks and not is_alone:
            step_hooks = [partial(self._apart, hook) for hook in step_hooks]
        others_read = not is_plain or self._votes.reads_steps
        # Reading costs nothing on NumPy; on a device it would mean waiting, and several ranks have to do it together.
        may_glance = self.model.backend.library == "numpy" and is_alone
        glance = perf_counter() + _GLANCE if may_glance else math.inf
        for x, labels, *weight in batches:
            if schedule is not None:
                optimizer.lr = schedule(self.step)
            if scaler is not None:
                scaler.begin()
            output, pullback = forward(x, train=True)
            loss, loss_pullback = loss_forward(output, labels, *weight)
            if is_plain:
                team.begin(others_read)
                pullback(loss_pullback(), input_gradient=False)
                team.finish()
            else:
                self._pull(loss, loss_pullback, pullback)
            if clip_norm:
                team.clip(self.model, clip_norm)
            step_optimizer()
            self.last_lr = optimizer.lr
            if average is not None:
                average.update()
            if scaler is not None:
                scaler.end()
            self.batch += 1
            self.step += 1
            full = note(loss, output, labels)
            if self.step % log_every == 0:
                self._end_interval()
            elif full or perf_counter() > glance:
                self._flush()
                glance = perf_counter() + _GLANCE if may_glance else math.inf
            for hook in step_hooks:
                hook(self)
            if self.stop_reason is not None if is_alone else self._stops():
                break
        self._flush()
        team.complete()

    def _pull(self, loss: Array, loss_pullback: Any, pullback: Any) -> None:
        """Fill the gradients when a penalty is added to the loss, or the loss is scaled."""
        dloss: Any = 1.0
        dpenalty, penalty_pullback = 1.0, None
        if self.penalty is not None:
            penalty_loss, penalty_pullback = self.penalty.forward(self.model)
            _, sum_pullback = self._add_losses(loss, penalty_loss)
            dloss, dpenalty = sum_pullback()
        if self.scaler is not None:
            dloss = dloss * self.scaler.scale
        self.team.begin()
        pullback(loss_pullback(dloss), input_gradient=False)
        self.team.finish()
        if self.scaler is not None:
            self.scaler.unscale()
        if penalty_pullback is not None:
            penalty_pullback(dpenalty)

    def _flush(self) -> list[float]:
        """Read the losses since the last flush and check that they are finite."""
        losses = self._meter.flush(self.epoch_sums, self.interval_sums)
        for step, loss in enumerate(losses, self.step - len(losses) + 1):
            if not math.isfinite(loss):
                raise self._non_finite("the training loss", loss, step)
        return losses

    def _non_finite(self, what: str, value: float | str, step: int, fault: str | None = None) -> NonFiniteLoss:
        """Return the error; `fault` is the reason, if it is known."""
        fault = fault or what_is_not_finite(self._train, "training")
        other = ", or --precision float32" if self.model.precision == "float16" else ""
        advice = f"try a lower --lr than {self.peak_lr:g}, or --clip-norm 1{other}"
        return NonFiniteLoss(f"{what} became {value} in epoch {self.epoch + 1}, step {step}: {fault or advice}")

    def _end_interval(self) -> None:
        losses = self._flush()
        interval = self.interval_sums.metrics()
        row: IntervalRow = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "passes": (self.epoch * self.batches + self.batch) / self.batches,
            "minibatch_loss": losses[-1],
            "interval_loss": interval.loss,
            "lr": self.last_lr,
        }
        if self.scaler is not None:
            if self.scaler.is_futile:
                raise self._non_finite("a gradient", "infinite or NaN at a loss scale of 1", self.step)
            report = self.scaler.report()
            row["loss_scale"], row["skipped_steps"] = report["loss_scale"], report["skipped_steps"]
        self.interval_sums = Sums()
        if self._votes.reads_intervals:
            self.team.complete()
        self._call("interval", row)

    def _call(self, hook: str, *arguments: Any) -> None:
        with self.team.apart():
            for callback in self.callbacks:
                getattr(callback, hook)(self, *arguments)

    def _apart(self, hook: Callable[["Trainer"], None], trainer: "Trainer") -> None:
        with self.team.apart():
            hook(trainer)

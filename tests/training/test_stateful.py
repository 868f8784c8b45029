"""Whatever is done to a trainer, in whatever order, it ends where a plain loop over the batches ends, bit for bit.

The machine does everything twice: to a `Trainer`, and to a `Replay`, which knows neither stops nor checkpoints nor
callbacks. It logs what the replay did; to go back to a checkpoint, a new replay does again what was logged until it was
saved. Saving and evaluating are not logged, so they must leave no trace.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.optim.table import WITH_MUON
from tests.training.small import Watched, without_times
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.runs import checkpoints
from xnn.training import Metrics, Trainer
from xnn.training.loaders import ArrayBatches
from xnn.training.metrics import Sums

IMAGES, FEATURES, CLASSES, BATCH_SIZE, BATCHES = 8, 3, 3, 3, 3
FOREVER = 10**6

SETTINGS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 3),
        "optimizer": st.sampled_from(sorted(WITH_MUON)),
        "decay_of_average": st.sampled_from([None, 0.8]),
        "schedule": st.sampled_from([None, optim.schedules.Cosine(0.1, 20, warmup_steps=2)]),
        "penalty": st.sampled_from([None, nn.L2Penalty(0.01)]),
        "clip_norm": st.sampled_from([None, 0.5]),
        "log_every": st.integers(1, 5),
        "validated": st.booleans(),
    }
)
PREFIXES = st.sampled_from(["", "0", "0.bias", "1", "4", "4.weight"])


def make_parts(options):
    """Return a new model, an optimizer of it, and its average or None."""
    layers = nn.Linear(4), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.4), nn.Linear(CLASSES)
    model = nn.Sequential(*layers).build((FEATURES,), backend="numpy", seed=options["seed"])
    decay = options["decay_of_average"]
    average = None if decay is None else optim.ExponentialMovingAverage(model, decay)
    return model, WITH_MUON[options["optimizer"]](model, weight_decay=0.01), average


def make_trainer(options):
    model, optimizer, average = make_parts(options)
    passed = {name: options[name] for name in ("schedule", "penalty", "clip_norm", "log_every")}
    return Trainer(model, optimizer, average=average, **passed)


def make_data(seed):
    random = np.random.default_rng(seed)
    return random.standard_normal((IMAGES, FEATURES)).astype("float32"), random.integers(0, CLASSES, IMAGES)


def make_batches(options):
    x, labels = make_data(options["seed"])
    return ArrayBatches(x, labels, BATCH_SIZE, backend=make_backend("numpy"), seed=options["seed"])


class Replay:
    """What a trainer does, without the trainer; its attributes have the names of the trainer's."""

    def __init__(self, options):
        self.options = options
        self.model, self.optimizer, self.average = make_parts(options)
        self.epoch = self.batch = self.step = 0
        self.epoch_sums, self.interval_sums = Sums(), Sums()
        self.history = []
        self.frozen = set()
        self.last_lr = None
        self.log = []

    def do(self, action, *arguments):
        """Do what can be done again from the log."""
        getattr(self, action)(*arguments)
        self.log.append((action, *arguments))

    def change_lr(self, lr):
        self.optimizer.lr = lr

    def freeze(self, prefix):
        self.model.freeze(prefix)
        self.frozen |= self._under(prefix)

    def unfreeze(self, prefix):
        self.model.unfreeze(prefix)
        self.frozen -= self._under(prefix)

    def _under(self, prefix):
        return {name for name in self.model.parameters if f"{name}.".startswith(f"{prefix}." if prefix else "")}

    def train(self, steps):
        """Take so many steps and be stopped after them, so that an evaluation that is due then waits."""
        for _ in range(steps):
            self.close_epoch_if_due()
            self._take_step()
        if not self.options["validated"]:
            self.close_epoch_if_due()

    def finish(self, epochs):
        """Do the rest of the present epoch, and as many whole ones as make it `epochs`."""
        for _ in range(epochs):
            self.train(BATCHES - self.batch)
            self.close_epoch_if_due()

    def close_epoch_if_due(self):
        if self.batch < BATCHES:
            return
        sums = self.epoch_sums
        row = {
            "epoch": self.epoch + 1,
            "train_loss": sums.loss / sums.images,
            "train_accuracy": sums.correct / sums.images,
            "lr": self.last_lr,
        }
        if self.options["validated"]:
            metrics = self.evaluate()
            row |= {"validation_loss": metrics.loss, "validation_accuracy": metrics.accuracy}
        self.history.append(row)
        self.epoch, self.batch, self.epoch_sums = self.epoch + 1, 0, Sums()

    def _take_step(self):
        options, model = self.options, self.model
        x, labels = list(make_batches(options).epoch(self.epoch))[self.batch]
        if options["schedule"] is not None:
            self.optimizer.lr = options["schedule"](self.step)
        self.last_lr = self.optimizer.lr
        logits, pullback = model.forward(x, train=True)
        loss, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, labels)
        pullback(loss_pullback())
        if options["penalty"] is not None:
            _, penalty_pullback = options["penalty"].forward(model)
            penalty_pullback()
        if options["clip_norm"] is not None:
            optim.clip_gradient_norm(model, options["clip_norm"])
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        self.batch += 1
        self.step += 1
        for sums in (self.epoch_sums, self.interval_sums):
            count(sums, loss, logits, labels)
        if self.step % options["log_every"] == 0:
            self.interval_sums = Sums()

    def evaluate(self):
        """Measure the validation data, with the averages where there are some."""
        x, labels = make_data(self.options["seed"] + 100)
        parameters, buffers = self.model.parameters.flat, self.model.buffers.flat
        weights = parameters.copy(), buffers.copy()
        if self.average is not None:
            parameters[...], buffers[...] = self.average.average
        sums = Sums()
        for start in range(0, IMAGES, BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            logits = self.model(x[part])
            loss, _ = nn.SoftmaxCrossEntropy().forward(logits, labels[part])
            count(sums, loss, logits, labels[part])
        parameters[...], buffers[...] = weights
        return Metrics(sums.loss / IMAGES, sums.correct / IMAGES, None, IMAGES)


def count(sums, loss, logits, labels):
    """Add a batch to `sums`; the five best of three classes mean nothing."""
    sums.loss += float(loss) * len(labels)
    sums.images += len(labels)
    sums.correct += int((logits.argmax(axis=1) == labels).sum())
    sums.top5 = None


def replayed(options, log):
    """Return a new replay that did what `log` says."""
    replay = Replay(options)
    for entry in log:
        replay.do(*entry)
    return replay


def counts(of):
    """All that a trainer or a replay holds besides arrays and times."""
    return {
        "epoch, batch, step": (of.epoch, of.batch, of.step),
        "optimizer's steps": of.optimizer.steps,
        "average's steps": None if of.average is None else of.average.steps,
        "lr": of.optimizer.lr,
        "last step's lr": of.last_lr,
        "random": (of.model.random.seed, of.model.random.stream, of.model.random.counter),
        "epoch's sums": of.epoch_sums,
        "interval's sums": of.interval_sums,
        "history": without_times(of.history),
        "trainable": of.model.segments(),
    }


def contents(of):
    """The bytes of all arrays of a trainer or a replay."""
    arrays = {"parameters": of.model.parameters.flat, "buffers": of.model.buffers.flat, **of.optimizer.slots}
    if of.average is not None:
        arrays |= {f"average {name}": array for name, array in of.average.average._asdict().items()}
    return {name: array.tobytes() for name, array in arrays.items()}


class TrainerMachine(RuleBasedStateMachine):
    """A trainer beside its replay."""

    saved = Bundle("saved")

    def __init__(self):
        super().__init__()
        self.folder = TemporaryDirectory()
        self.logs = {}

    def teardown(self):
        self.folder.cleanup()

    @initialize(options=SETTINGS)
    def begin(self, options):
        self.options = options
        self.batches = make_batches(options)
        self.held_out = make_data(options["seed"] + 100)
        self.trainer, self.replay = make_trainer(options), Replay(options)

    def fit(self, train, **how_long):
        validation = self.held_out if self.options["validated"] else None
        self.trainer.fit(train, validation, **how_long, batch_size=BATCH_SIZE)

    def write(self):
        return checkpoints.save(Path(self.folder.name), *self.trainer.state_dict())

    def note(self, path):
        """Remember how to come to what was written; the same place in training has the same file."""
        self.logs[path] = list(self.replay.log)
        return path

    @rule(steps=st.integers(1, 7))
    def train(self, steps):
        def stop(number):
            if number == steps:
                self.trainer.request_stop("enough for now", to_resume=True)

        self.fit(Watched(self.batches, stop), until=FOREVER)
        self.replay.do("train", steps)

    @rule(target=saved, before=st.integers(0, 4), after=st.integers(1, 4))
    def save_while_training(self, before, after):
        """Save between two steps, where losses may wait to be read, and go on."""
        paths = []

        def save_and_stop(number):
            if number == before + 1:
                paths.append(self.write())
            if number == before + after:
                self.trainer.request_stop("enough for now", to_resume=True)

        self.fit(Watched(self.batches, save_and_stop), epochs=FOREVER)
        self.replay.do("train", before)
        self.replay.do("close_epoch_if_due")
        path = self.note(*paths)
        self.replay.do("train", after)
        return path

    @rule(epochs=st.integers(1, 2), counted=st.sampled_from(["more", "in all"]))
    def finish_epochs(self, epochs, counted):
        self.fit(self.batches, **({"epochs": epochs} if counted == "more" else {"until": self.trainer.epoch + epochs}))
        self.replay.do("finish", epochs)

    @precondition(lambda self: self.trainer.epoch > 0)
    @rule()
    def ask_for_no_more_epochs_than_are_done(self):
        self.fit(self.batches, until=self.trainer.epoch)

    @rule()
    def evaluate(self):
        assert self.trainer.evaluate(self.held_out, batch_size=BATCH_SIZE) == self.replay.evaluate()

    @rule(lr=st.sampled_from([0.0, 0.01, 0.2]))
    def change_learning_rate(self, lr):
        self.trainer.optimizer.lr = lr
        self.replay.do("change_lr", lr)

    @rule(action=st.sampled_from(["freeze", "unfreeze"]), prefix=PREFIXES)
    def freeze_or_unfreeze(self, action, prefix):
        getattr(self.trainer.model, action)(prefix)
        self.replay.do(action, prefix)

    @rule(target=saved)
    def save(self):
        return self.note(self.write())

    @rule(path=saved, frozen_again=st.booleans())
    def load(self, path, frozen_again):
        """What is frozen is a setting of the model: a checkpoint has none of it, a new model is to be frozen anew."""
        self.trainer, self.replay = make_trainer(self.options), replayed(self.options, self.logs[path])
        if not frozen_again:
            self.replay.do("unfreeze", "")
        for name in self.replay.frozen:
            self.trainer.model.freeze(name)
        read = checkpoints.load(path)
        self.trainer.load_state_dict(read.arrays, read.info)

    @rule(target=saved, before=st.integers(0, 4), after=st.integers(1, 4))
    def resume(self, before, after):
        """Save while training and be killed later: the steps `after` are lost."""
        path = self.save_while_training(before, after)
        self.load(path, frozen_again=True)
        return path

    @rule(path=saved)
    def go_back(self, path):
        """Load into the trainer as it is: what is frozen stays so, all else is what it was."""
        read = checkpoints.load(path)
        self.trainer.load_state_dict(read.arrays, read.info)
        frozen, self.replay = self.replay.frozen, replayed(self.options, self.logs[path])
        self.replay.do("unfreeze", "")
        for name in sorted(frozen):
            self.replay.do("freeze", name)

    @invariant()
    def trainer_is_where_its_replay_is(self):
        assert counts(self.trainer) == counts(self.replay)
        found, expected = contents(self.trainer), contents(self.replay)
        assert found.keys() == expected.keys()
        different = [name for name in expected if found[name] != expected[name]]
        assert not different


TestTrainer = TrainerMachine.TestCase
TestTrainer.settings = settings(stateful_step_count=15)

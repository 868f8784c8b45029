"""A case: what is handed in, and the command that gets it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.hostile.world import COMPARES, Place

PAGE = "work/run/report.html"
CODES = frozenset((0, 1, 2, 3))
SOUND = frozenset((0,))


@dataclass(frozen=True)
class Command:
    """A command of xnn's, in the folder ``work`` of its case; `writes` are the paths that it may change."""

    program: str
    arguments: tuple[str, ...]
    writes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """What is odd, in words, and what comes to see it.

    `small` names what CIFAR is shrunk to for it, `real` has a real process of the command see it, which may print
    lines on standard error that begin with `notes`.
    """

    told: str
    command: Command
    expected: frozenset[int] = CODES
    small: str = ""
    real: bool = False
    notes: str = ""


@dataclass(frozen=True)
class Group:
    """A kind of file that is mutated.

    `make` prepares a case in its folder. It is given None in place of a generator for the undisturbed case, which must
    end well: else nothing would have been tried.
    """

    name: str
    weight: float
    make: Callable[[Place, Random | None], Case]


def report(*more: str) -> Command:
    return Command("report", ("run", *more), () if "--no-html" in more else (PAGE,))


def predict(*images: str, of: str = "run") -> Command:
    return Command("predict", (of, *images))


def evaluate(dataset: str, *more: str) -> Command:
    return Command("predict", ("run", "--dataset", dataset, *more))


def resume(*more: str) -> Command:
    return Command("train", ("--resume", "stopped", *more), ("work/stopped/",))


def look(dataset: str, *more: str) -> Command:
    """Read the data, and train nothing."""
    return Command("train", ("--dataset", dataset, *_MODEL, "--summary", *more))


def train(dataset: str, *more: str, to: str = "new") -> Command:
    return Command("train", ("--dataset", dataset, *_MODEL, "--run-dir", to, *more), (f"work/{to}/",))


def compare(dataset: str, *more: str) -> Command:
    return Command("compare", ("--dataset", dataset, "--hidden", "2", "--epochs", "1", "--batch-size", "8", *more))


def some_compared(command: Command, random: Random, dataset: str, *more: str) -> Command:
    """Return a command on a data set, or now and then a comparison, where there is what to compare with."""
    return compare(dataset, *more) if random.random() < 0.1 and COMPARES else command


_MODEL = ("--model", "mlp", "--hidden", "2", "--epochs", "1", "--batch-size", "8", "--backend", "numpy")

"""Time xnn's estimators against scikit-learn's networks, with the same layers, solver and batches, both in float32.

Usage: ``python -m benchmarks.sklearn_fit DATA_DIR [--threads N] [--repeats N] [--images N] [--epochs N]``. DATA_DIR
holds the official files of Fashion-MNIST. Each row is one call of ``fit``, which begins with a new network; the two
libraries take turns, while the cores are near each other (`benchmarks.core_distance`). The classifiers learn the
classes and are judged by their accuracy on the test images; the regressors learn how bright each quarter of an image
is, from every other line of it, and are judged by R². The digits are those of scikit-learn, in float64 as it gives
them, with all defaults: training ends when the loss no longer falls. Below the table is the time of what no fit can do
without: taking the rows of each batch and, for the first layer, the two products with its weight and for its gradient.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.core_distance import Cores
from benchmarks.machine import cores, pin
from benchmarks.timing import alternate, median_ratio

BATCH = 200
"""The default of both."""


@dataclass(frozen=True)
class Row:
    """What both libraries do.

    Attributes
    ----------
    ours, theirs
        ``seed -> estimator``.
    """

    name: str
    ours: Callable[[int], Any]
    theirs: Callable[[int], Any]
    train: tuple[Any, Any]
    test: tuple[Any, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", help="folder with the official files of Fashion-MNIST")
    parser.add_argument("--threads", type=int, default=cores(), help="threads for both libraries (default: all cores)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--images", type=int, default=60_000, help="the first so many (default: all 60000)")
    parser.add_argument("--epochs", type=int, default=1, help="epochs on Fashion-MNIST (default: 1)")
    arguments = parser.parse_args(argv)
    if min(arguments.threads, arguments.repeats, arguments.images, arguments.epochs) < 1:
        parser.error("--threads, --repeats, --images and --epochs must be positive")
    # Before NumPy is imported.
    pin(arguments.threads)
    from sklearn.exceptions import ConvergenceWarning

    # One epoch does not converge, and need not converge.
    warnings.simplefilter("ignore", ConvergenceWarning)
    near = Cores(arguments.threads)
    print("| fit | examples | xnn, s | scikit-learn, s | scikit-learn / xnn | xnn's score | scikit-learn's |")
    print("|---|---|---|---|---|---|---|")
    rows = [*fashion_mnist(arguments.data_dir, arguments.images, arguments.epochs), digits()]
    for row in rows:
        print(measured(row, arguments.repeats, near), flush=True)
    least = alternate(
        {"": lambda: bare(rows[0].train[0], arguments.epochs)}, arguments.repeats, 1e-9, while_near=near.while_near
    )
    print(f"\nBatches and products of the first layer alone: {statistics.median(least['']):.3f} s")


def measured(row: Row, repeats: int, cores: Cores) -> str:
    """Return a line of the table."""
    fitted: dict[str, list[Any]] = {"xnn": [], "scikit-learn": []}

    def turn(name: str, make: Callable[[int], Any]) -> Callable[[], None]:
        # Each turn has another seed, and both libraries have the same ones.
        return lambda: fitted[name].append(make(len(fitted[name])).fit(*row.train))

    turns = {"xnn": turn("xnn", row.ours), "scikit-learn": turn("scikit-learn", row.theirs)}
    # A turn is one call.
    seconds = alternate(turns, repeats, 1e-9, while_near=cores.while_near)
    ratio = median_ratio(seconds["scikit-learn"], seconds["xnn"])
    ours, theirs = (statistics.median(seconds[name]) for name in turns)
    scores = [statistics.fmean(network.score(*row.test) for network in fitted[name]) for name in turns]
    cells = [row.name, len(row.train[0]), f"{ours:.3f}", f"{theirs:.3f}", f"{ratio:.2f}"]
    return f"| {' | '.join(map(str, [*cells, *(f'{score:.4f}' for score in scores)]))} |"


def bare(x: Any, epochs: int) -> None:
    """Take the rows of each batch, and multiply them as the first layer (784, 128) and its gradient need it."""
    import numpy as np

    random = np.random.default_rng(0)
    weight = random.random((x.shape[1], 128), np.float32)
    y, gradient = np.empty((min(BATCH, len(x)), 128), np.float32), np.empty_like(weight)
    for _ in range(epochs):
        order = random.permutation(len(x))
        for start in range(0, len(x) - len(y) + 1, len(y)):
            batch = x.take(order[start : start + len(y)], axis=0)
            np.matmul(batch, weight, out=y)
            np.matmul(batch.T, y, out=gradient)


def fashion_mnist(data_dir: str, images: int, epochs: int) -> list[Row]:
    """Return the rows on images in memory, one for each kind of estimator and solver."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    from xnn.data import load
    from xnn.sklearn import Classifier, Regressor

    dataset = load("fashion-mnist", data_dir=data_dir)

    def part(split: Any, count: int) -> tuple[Any, Any]:
        x = np.asarray(split.images[:count], np.float32).reshape(-1, 784) / np.float32(255)
        return x, np.asarray(split.labels[:count], np.int64)

    train, test = part(dataset.train, images), part(dataset.test, images)
    brightness = tuple(_quarters(x) for x, _ in (train, test))
    rows = []
    for solver, lr in (("sgd", 0.05), ("adam", 1e-3)):
        same = {"solver": solver, "learning_rate_init": lr, "batch_size": min(BATCH, images), "max_iter": epochs}
        # Both train for all epochs.
        same |= {"n_iter_no_change": epochs + 1, "momentum": 0.9}
        rows += [
            Row(f"classifier, 784-128-10, {solver}", *_both(Classifier, MLPClassifier, same), train, test),
            Row(f"regressor, 784-128-4, {solver}", *_both(Regressor, MLPRegressor, same), brightness[0], brightness[1]),
        ]
    return rows


def _both(ours: Any, theirs: Any, same: dict[str, Any]) -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    def make(kind: Any, **own: Any) -> Callable[[int], Any]:
        return lambda seed: kind(hidden_layer_sizes=(128,), random_state=seed, **same, **own)

    return make(ours, backend="numpy"), make(theirs)


def _quarters(x: Any) -> tuple[Any, Any]:
    """Return images of which every other line is blank, and the means of those lines in the quarters of each image."""
    quarters = x.reshape(-1, 2, 14, 2, 14)
    targets = quarters[:, :, ::2].mean(axis=(2, 4)).reshape(-1, 4)
    seen = quarters.copy()
    seen[:, :, ::2] = 0.0
    return seen.reshape(-1, 784), targets


def digits() -> Row:
    """Return the row on scikit-learn's digits, with all defaults."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    from xnn.sklearn import Classifier

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    return Row(
        "digits, all defaults",
        lambda seed: Classifier(random_state=seed, backend="numpy"),
        lambda seed: MLPClassifier(random_state=seed),
        (x_train, y_train),
        (x_test, y_test),
    )


if __name__ == "__main__":
    main()

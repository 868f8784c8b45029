"""Time an epoch of Fashion-MNIST against scikit-learn's MLPClassifier, with the same network, optimizer and batches.

Usage: ``python -m benchmarks.sklearn_epoch DATA_DIR [--threads N] [--repeats N] [--batch N] [--images N]``. DATA_DIR
holds the official files. Both train 784-128-10 with ReLU for one epoch, using SGD with momentum in float32 on images in
memory; turns alternate, and each turn begins with a new network.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.machine import cores, pin
from benchmarks.timing import alternate, median_ratio


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", help="folder with the official files of Fashion-MNIST")
    parser.add_argument("--threads", type=int, default=cores(), help="threads for both libraries (default: all cores)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--batch", type=int, default=128, help="images a batch (default: 128)")
    parser.add_argument("--images", type=int, default=60_000, help="the first so many (default: all 60000)")
    arguments = parser.parse_args(argv)
    if min(arguments.threads, arguments.repeats, arguments.batch, arguments.images) < 1:
        parser.error("--threads, --repeats, --batch and --images must be positive")
    # Before NumPy is imported.
    pin(arguments.threads)

    import numpy as np

    from xnn.data import load

    split = load("fashion-mnist", data_dir=arguments.data_dir).train
    images, labels = split.images[: arguments.images], np.asarray(split.labels[: arguments.images], np.int64)
    x = np.asarray(images, np.float32).reshape(len(images), -1) / 255
    turns = {"xnn": xnn_epoch(x, labels, arguments.batch), "scikit-learn": sklearn_epoch(x, labels, arguments.batch)}
    # A turn is one call.
    seconds = alternate(turns, arguments.repeats, 1e-9)
    ratio = median_ratio(seconds["scikit-learn"], seconds["xnn"])
    ours, theirs = (statistics.median(seconds[name]) for name in turns)
    print("| epoch of Fashion-MNIST | batch | images | xnn, s | scikit-learn, s | scikit-learn / xnn |")
    print("|---|---|---|---|---|---|")
    print(f"| 784-128-10 | {arguments.batch} | {len(images)} | {ours:.3f} | {theirs:.3f} | {ratio:.2f} |")


def xnn_epoch(x: Any, labels: Any, batch: int) -> Callable[[], object]:
    """Return a function that trains for one epoch on NumPy."""
    import xnn
    from xnn import nn, optim

    def epoch() -> object:
        model = nn.Sequential(nn.Linear(128), nn.ReLU(), nn.Linear(10)).build((784,), backend="numpy")
        optimizer = optim.SGD(model, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
        return xnn.Trainer(model, optimizer).fit((x, labels), epochs=1, batch_size=batch)

    return epoch


def sklearn_epoch(x: Any, labels: Any, batch: int) -> Callable[[], object]:
    """Return a function that trains for one epoch with MLPClassifier."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    def epoch() -> object:
        network = MLPClassifier(
            (128,), solver="sgd", learning_rate_init=0.05, momentum=0.9, alpha=1e-4, batch_size=batch, max_iter=1
        )
        with warnings.catch_warnings():
            # One epoch does not converge, and need not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return network.fit(x, labels)

    return epoch


if __name__ == "__main__":
    main()

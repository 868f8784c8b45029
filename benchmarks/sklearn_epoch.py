"""Time an epoch of Fashion-MNIST against scikit-learn's MLPClassifier, with the same network, optimizer and batches.

Usage: ``python -m benchmarks.sklearn_epoch DATA_DIR [--repeats N] [--batch N]``. DATA_DIR holds the official files.
Both
train 784-128-10 with ReLU by SGD with momentum for one epoch, in float32, from images in memory; turns alternate, and
each turn begins with a new network.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", help="folder with the official files of Fashion-MNIST")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--batch", type=int, default=128, help="images a batch (default: 128)")
    arguments = parser.parse_args()

    import numpy as np

    from xnn.data import load

    split = load("fashion-mnist", data_dir=arguments.data_dir).train
    x = np.asarray(split.images, np.float32).reshape(len(split.images), -1) / 255
    labels = np.asarray(split.labels, np.int64)
    turns = {"xnn": xnn_epoch(x, labels, arguments.batch), "scikit-learn": sklearn_epoch(x, labels, arguments.batch)}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for name in turns:
        turns[name]()
    for _ in range(arguments.repeats):
        for name, epoch in turns.items():
            start = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - start)
    ratio = statistics.median(b / a for a, b in zip(seconds["xnn"], seconds["scikit-learn"], strict=True))
    ours, theirs = (statistics.median(seconds[name]) for name in turns)
    print("| epoch of Fashion-MNIST | batch | xnn, s | scikit-learn, s | ratio |")
    print("|---|---|---|---|---|")
    print(f"| 784-128-10 | {arguments.batch} | {ours:.2f} | {theirs:.2f} | {ratio:.2f} |")


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
            # One epoch does not converge, and need not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return network.fit(x, labels)

    return epoch


if __name__ == "__main__":
    main()

"""Time plain descent on one image a step, with the next image in sight and without.

Usage: ``python -m benchmarks.image_by_image [--hidden N ...] [--images N] [--repeats N] [--threads N]``. Trains
3072-N-100 with ReLU and weight decay on random images of CIFAR's shape, an epoch a turn; both versions take turns, each
with a network of its own. A callback that does not say it only watches is what keeps the second one from looking ahead
(`xnn.training.looking_ahead`). The ratio is the median over pairs.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence

from benchmarks.machine import cores, pin
from benchmarks.timing import alternate, median_ratio


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 1024], help="hidden units (default: 256 1024)")
    parser.add_argument("--images", type=int, default=512, help="images a turn (default: 512)")
    parser.add_argument("--repeats", type=int, default=25, help="turns of each (default: 25)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads (default: all cores)")
    arguments = parser.parse_args(argv)
    if min(*arguments.hidden, arguments.images, arguments.repeats, arguments.threads) < 1:
        parser.error("--hidden, --images, --repeats and --threads must be positive")
    # Before NumPy is imported.
    pin(arguments.threads)
    print("| hidden units | microseconds an image, looking ahead | without | without / looking ahead |")
    print("|---|---|---|---|")
    for hidden in arguments.hidden:
        turns = {name: epoch(hidden, arguments.images, only_watches=name == "ahead") for name in ("ahead", "without")}
        # A turn is one call.
        seconds = alternate(turns, arguments.repeats, 1e-9)
        ahead, without = (statistics.median(seconds[name]) / arguments.images * 1e6 for name in turns)
        ratio = median_ratio(seconds["without"], seconds["ahead"])
        print(f"| {hidden} | {ahead:.0f} | {without:.0f} | {ratio:.2f} |", flush=True)


def epoch(hidden: int, images: int, *, only_watches: bool) -> Callable[[], object]:
    """Return a function that trains for one more epoch on NumPy."""
    import numpy as np

    import xnn
    from xnn import nn, optim
    from xnn.data import Batches, Normalization, Split

    class Look(xnn.training.Callback):
        def step_end(self, trainer: xnn.Trainer) -> None:
            """Do nothing."""

    Look.only_watches = only_watches
    random = np.random.default_rng(0)
    split = Split(random.integers(0, 256, (images, 32, 32, 3), np.uint8), random.integers(0, 100, images))
    layers = nn.Flatten(), nn.Linear(hidden), nn.ReLU(), nn.Linear(100)
    model = nn.Sequential(*layers).build((32, 32, 3), backend="numpy")
    normalization = Normalization(mean=(0.5,) * 3, std=(0.25,) * 3)
    batches = Batches(split, 1, backend=model.backend, normalization=normalization)
    trainer = xnn.Trainer(model, optim.SGD(model, lr=1e-4, weight_decay=1e-3), callbacks=[Look()])
    return lambda: trainer.fit(batches, epochs=trainer.epoch + 1)


if __name__ == "__main__":
    main()

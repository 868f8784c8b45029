"""Compare onnxruntime's predictions with xnn's own: images a second of exported recipes, on the same threads.

Usage: ``python -m benchmarks.onnx_speed [--threads N] [--repeats N] [--seconds S] [--only TEXT] [--json FILE]``. Both
start from images of uint8 in memory and end with probabilities, with one view of each; turns alternate.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine, table
from benchmarks.timing import alternate, median_ratio

PACKAGES = ("xnn-array", "numpy", "numba", "onnxruntime", "onnx", "ndonnx")
RECIPES = ("mlp", "lab6", "cnn", "speed", "residual")
BATCHES = (1, 256)


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = table.options(__doc__, repeats=7, seconds=0.4)
    about = machine.describe(arguments.threads, PACKAGES)
    about |= {"repeats": arguments.repeats, "seconds": arguments.seconds}
    table.print_circumstances(about)
    table.print_heading(("recipe", "images", "batch", "xnn, images/s", "onnxruntime, images/s", "xnn / onnxruntime"))
    figures = []
    for dataset, shape in (("fashion-mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))):
        for recipe in RECIPES:
            if arguments.only in f"{recipe} {dataset}":
                figures += rows(recipe, dataset, shape, arguments)
    table.write(arguments.json, about, figures)


def rows(recipe: str, dataset: str, shape: tuple[int, int, int], arguments: Any) -> list[dict[str, Any]]:
    """Measure a recipe's network for a data set, and print a row for each batch size."""
    model, normalization = network(recipe, dataset, shape)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        session = exported(model, normalization, path, arguments.threads)
        for batch in BATCHES:
            turns = predictions(model, normalization, session, images_of(shape, batch))
            seconds = alternate(turns, arguments.repeats, arguments.seconds)
            ours, theirs = (batch / statistics.median(seconds[name]) for name in ("xnn", "onnxruntime"))
            ratio = median_ratio(seconds["onnxruntime"], seconds["xnn"])
            size = "x".join(map(str, shape))
            table.print_row((recipe, size, batch, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ratio:.2f}"))
            found.append({"recipe": recipe, "images": size, "batch": batch, "seconds": seconds})
    return found


def network(recipe: str, dataset: str, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Return a recipe's network with its first weights, on NumPy, and a normalization."""
    from xnn import recipes
    from xnn.data import Normalization
    from xnn.tasks import Task

    model = recipes.network(recipe, Task(dataset, shape, classes=10, images=50_000))
    return model.build(shape, backend="numpy"), Normalization((0.5,) * shape[-1], (0.25,) * shape[-1])


def exported(model: Any, normalization: Any, path: Path, threads: int) -> Any:
    """Return a session of onnxruntime for a model, on so many threads."""
    import onnxruntime

    import xnn

    xnn.export_onnx(model, path, normalization=normalization, classes=[str(number) for number in range(10)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def images_of(shape: tuple[int, int, int], batch: int) -> Any:
    """Return random images."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)


def predictions(model: Any, normalization: Any, session: Any, images: Any) -> dict[str, Callable[[], Any]]:
    """Return for each library a function that predicts the images' classes."""
    from xnn import functional as F

    def by_xnn() -> Any:
        with model.computing():
            return F.softmax(model(normalization(images)))[0]

    def by_onnxruntime() -> Any:
        return session.run(None, {"images": images})[0]

    return {"xnn": by_xnn, "onnxruntime": by_onnxruntime}


if __name__ == "__main__":
    main()

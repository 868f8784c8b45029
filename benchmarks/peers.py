"""Time training steps and inference against PyTorch's on the same machine, network, batch, precision and threads.

Usage: ``python -m benchmarks.peers [--threads N] [--repeats N] [--seconds S] [--only TEXT] [--json FILE]``.
Prints a Markdown table. A step is forward, loss, backward and an SGD update; PyTorch's memory layout is channels-last
or channels-first, whichever is faster.
"""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads for both libraries (default: all)")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: 1)")
    parser.add_argument("--only", default="", help="time only networks whose name holds this text")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    # Before NumPy and PyTorch are imported: they read these once.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XNN_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)

    import numpy
    import torch

    from benchmarks.networks import NETWORKS

    torch.set_num_threads(arguments.threads)
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {arguments.threads} threads, Python {platform.python_version()}, ", end="")
    print(f"NumPy {numpy.__version__}, PyTorch {torch.__version__}\n")
    print("| network | what | batch | xnn, ms | PyTorch, ms | PyTorch / xnn |")
    print("|---|---|---|---|---|---|")
    figures = []
    for name, network in NETWORKS.items():
        if arguments.only in name:
            tasks = [("training", batch) for batch in network.batches]
            tasks += [("inference", batch) for batch in network.inference_batches]
            for kind, batch in tasks:
                row = compare(name, network, batch, kind, arguments.repeats, arguments.seconds)
                figures.append(row)
                line = "| {network} | {kind} | {batch} | {xnn:.3f} | {torch:.3f} | {ratio:.2f} |"
                print(line.format(**row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def compare(name: str, network: Any, batch: int, kind: str, repeats: int, seconds: float) -> dict[str, Any]:
    """Time one network at one batch size; milliseconds are medians, the ratio is the median of paired ratios."""
    from benchmarks.timing import alternate, median_ratio

    xnn_call, torch_call = {"training": (xnn_step, torch_step), "inference": (xnn_inference, torch_inference)}[kind]
    times = alternate(
        {
            "xnn": xnn_call(network, batch),
            "channels first": torch_call(network, batch, channels_last=False),
            "channels last": torch_call(network, batch, channels_last=True),
        },
        repeats,
        seconds,
    )
    layouts = ("channels first", "channels last")
    best = min(layouts, key=lambda layout: statistics.median(times[layout]))
    return {
        "network": name,
        "kind": kind,
        "batch": batch,
        "xnn": 1e3 * statistics.median(times["xnn"]),
        "torch": 1e3 * statistics.median(times[best]),
        "torch_layout": best,
        "ratio": median_ratio(times[best], times["xnn"]),
    }


def xnn_step(network: Any, batch: int) -> Callable[[], object]:
    """Return a function that does one training step on NumPy."""
    from xnn import kernels, nn, optim

    model, x, y = xnn_model(network, batch)
    optimizer, loss = optim.SGD(model, lr=1e-3), nn.SoftmaxCrossEntropy()

    def step() -> None:
        # As in a training loop.
        with kernels.alone(model.backend):
            logits, pullback = model.forward(x, train=True)
            _, loss_pullback = loss.forward(logits, y)
            pullback(loss_pullback(), input_gradient=False)
            optimizer.step()

    return step


def xnn_inference(network: Any, batch: int) -> Callable[[], object]:
    """Return a function that computes the logits of one batch on NumPy."""
    model, x, _ = xnn_model(network, batch)
    return lambda: model(x)


def xnn_model(network: Any, batch: int) -> tuple[Any, Any, Any]:
    """Return the built network, images and labels."""
    import numpy as np

    import xnn

    backend = xnn.backend("numpy")
    model = network.xnn().build(network.input_shape, backend=backend)
    images, labels = random_batch(network, batch)
    return model, backend.asarray(images.astype(np.float32)), labels


def torch_step(network: Any, batch: int, channels_last: bool) -> Callable[[], object]:
    """Return a function that does one training step in eager PyTorch."""
    import torch

    model, x, y = torch_model(network, batch, channels_last)
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=1e-3), torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(model(x), y).backward()
        optimizer.step()

    return step


def torch_inference(network: Any, batch: int, channels_last: bool) -> Callable[[], object]:
    """Return a function that computes the logits of one batch in PyTorch's inference mode."""
    import torch

    model, x, _ = torch_model(network, batch, channels_last)
    model.eval()

    def infer() -> object:
        with torch.inference_mode():
            return model(x)

    return infer


def torch_model(network: Any, batch: int, channels_last: bool) -> tuple[Any, Any, Any]:
    """Return the network, images and labels in one of PyTorch's layouts."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = network.torch().to(memory_format=layout)
    images, labels = random_batch(network, batch)
    x = torch.tensor(images.transpose(0, 3, 1, 2), dtype=torch.float32).contiguous(memory_format=layout)
    return model, x, torch.tensor(labels)


def random_batch(network: Any, batch: int) -> Any:
    """Return random images and labels."""
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, *network.input_shape))
    return images, generator.integers(0, network.classes, batch)


if __name__ == "__main__":
    main()

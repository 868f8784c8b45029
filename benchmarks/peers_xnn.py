"""xnn's side of the comparison: training steps and inference on NumPy."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.tasks import MOMENTUM, RATES


def xnn_step(network: Any, batch: int, optimizer: str = "sgd") -> Callable[[], object]:
    """Return a function that does one training step on NumPy."""
    from xnn import nn

    model, x, y = xnn_model(network, batch)
    update, loss = xnn_optimizer(model, optimizer), nn.SoftmaxCrossEntropy()
    # For commits in which `pullback` did not free by itself what it used.
    consume = getattr(nn, "consume", None)

    def step() -> None:
        # As in a training loop.
        with computing(model):
            logits, pullback = model.forward(x, train=True)
            _, loss_pullback = loss.forward(logits, y)
            if consume is None:
                pullback(loss_pullback(), input_gradient=False)
            else:
                consume(pullback, loss_pullback(), input_gradient=False)
            update.step()

    return step


def xnn_optimizer(model: Any, name: str) -> Any:
    """Return the optimizer of that name in `OPTIMIZERS`."""
    from xnn import optim

    if name == "adam":
        return optim.Adam(model, lr=RATES[name])
    return optim.SGD(model, lr=RATES[name], momentum=MOMENTUM if name == "momentum" else 0.0)


def computing(model: Any) -> AbstractContextManager[None]:
    """Return the model's context for many calls, by its present name or that of earlier commits."""
    context: AbstractContextManager[None] = model.computing() if hasattr(model, "computing") else model.alone()
    return context


def xnn_inference(network: Any, batch: int) -> Callable[[], object]:
    """Return a function that computes the logits of one batch on NumPy."""
    model, x, _ = xnn_model(network, batch)
    return lambda: model(x)


def xnn_task(network: Any, task: Any) -> Callable[[], object]:
    """Return a function that does one of `benchmarks.tasks`."""
    if task.kind == "inference":
        return xnn_inference(network, task.batch)
    return xnn_step(network, task.batch, task.optimizer)


def xnn_model(network: Any, batch: int) -> tuple[Any, Any, Any]:
    """Return the built network, images (n, h, w, c) in float32, and labels (n,)."""
    import numpy as np

    import xnn

    backend = xnn.backend("numpy")
    model = network.xnn().build(network.input_shape, backend=backend)
    images, labels = random_batch(network, batch)
    return model, backend.asarray(images.astype(np.float32)), labels


def random_batch(network: Any, batch: int) -> Any:
    """Return random images (n, h, w, c) and labels (n,)."""
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, *network.input_shape))
    return images, generator.integers(0, network.classes, batch)

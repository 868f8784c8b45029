"""xnn's side of the comparison: training steps and inference on NumPy."""

from collections.abc import Callable
from typing import Any

RATE = 1e-3
"""Step size of all contestants."""


def xnn_step(network: Any, batch: int) -> Callable[[], object]:
    """Return a function that does one training step on NumPy."""
    from xnn import nn, optim

    model, x, y = xnn_model(network, batch)
    optimizer, loss = optim.SGD(model, lr=RATE), nn.SoftmaxCrossEntropy()

    def step() -> None:
        # As in a training loop.
        with model.alone():
            logits, pullback = model.forward(x, train=True)
            _, loss_pullback = loss.forward(logits, y)
            nn.consume(pullback, loss_pullback(), input_gradient=False)
            optimizer.step()

    return step


def xnn_inference(network: Any, batch: int) -> Callable[[], object]:
    """Return a function that computes the logits of one batch on NumPy."""
    model, x, _ = xnn_model(network, batch)
    return lambda: model(x)


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

"""Eager PyTorch, in both of its memory layouts where a network has images inside."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers_xnn import RATE, random_batch

STEPS = 1
LAYOUTS = {"channels first": False, "channels last": True}


def variants(network: Any, batch: int, kind: str) -> dict[str, Callable[[], object]]:
    """Return a function for each layout; an MLP has one."""
    make = {"training": torch_step, "inference": torch_inference}[kind]
    return {name: make(network, batch, channels_last) for name, channels_last in layouts(network).items()}


def layouts(network: Any) -> dict[str, bool]:
    """Return the names of the layouts that differ for this network, and whether each is channels-last."""
    return {"": False} if network.hidden else LAYOUTS


def torch_step(network: Any, batch: int, channels_last: bool) -> Callable[[], object]:
    """Return a function that does one training step in eager PyTorch."""
    import torch

    model, x, y = torch_model(network, batch, channels_last)
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()

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

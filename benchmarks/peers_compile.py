"""PyTorch compiled by ``torch.compile`` with its default compiler, inductor, which needs a C++ compiler.

Momentum and Adam are PyTorch's own fused optimizers, which are not part of the compiled code.
"""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers_torch import layouts, torch_model, torch_optimizer

STEPS = 1
# Static shapes are faster; and if the code cannot be compiled as a whole, that is an error, not unnoticed slow code.
OPTIONS: dict[str, Any] = {"dynamic": False, "fullgraph": True}


def variants(network: Any, task: Any) -> dict[str, Callable[[], object]]:
    """Return a function for each layout, which compiles at its first call; an MLP has one."""
    # Forget earlier networks: PyTorch compiles a piece of code only a limited number of times.
    torch.compiler.reset()
    make = compiled_inference if task.kind == "inference" else compiled_step
    return {name: make(network, task, channels_last) for name, channels_last in layouts(network).items()}


def compiled_step(network: Any, task: Any, channels_last: bool) -> Callable[[], object]:
    """Return a function that does one training step; network, loss and their gradients are compiled as one."""
    model, x, y = torch_model(network, task.batch, channels_last)
    update = torch_optimizer(model, task.optimizer, fused=task.optimizer != "sgd")
    loss = torch.nn.CrossEntropyLoss()

    @torch.compile(**OPTIONS)
    def loss_of(x: Any, y: Any) -> Any:
        return loss(model(x), y)

    def step() -> None:
        update.zero_grad(set_to_none=True)
        loss_of(x, y).backward()
        update.step()

    return step


def compiled_inference(network: Any, task: Any, channels_last: bool) -> Callable[[], object]:
    """Return a function that computes the logits of one batch in PyTorch's inference mode."""
    model, x, _ = torch_model(network, task.batch, channels_last)
    compiled = torch.compile(model.eval(), **OPTIONS)

    def infer() -> object:
        with torch.inference_mode():
            return compiled(x)

    return infer

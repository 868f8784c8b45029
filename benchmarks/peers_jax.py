"""JAX: a step compiled as a whole, images (n, h, w, c), the new parameters in the old ones' memory.

The network is made from xnn's layers and starts with xnn's numbers, so both compute the same, as the tests check.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from benchmarks.peers_xnn import xnn_model
from benchmarks.tasks import MOMENTUM, RATES
from xnn import nn

STEPS = 1
Arrays = dict[str, jax.Array]
State = tuple[Arrays, Arrays]
"""What a step changes: trained parameters and running statistics, each by name."""
Slots = dict[str, Arrays]
"""What an optimizer keeps, by the names of slot and parameter."""


def variants(network: Any, task: Any) -> dict[str, Callable[[], object]]:
    """Return one function, which compiles at its first call and waits for its result."""
    if task.kind == "inference":
        return {"": jax_inference(network, task.batch)}
    train = trainer(network, task.batch, task.optimizer)
    return {"": lambda: jax.block_until_ready(train())}


def trainer(network: Any, batch: int, optimizer: str = "sgd") -> Callable[[], State]:
    """Return a function that does one training step and returns the new state."""
    model, x, y = jax_model(network, batch)
    trained, frozen = parameters(model)
    state, slots = (trained, buffers(model)), slots_of(trained, optimizer)

    def loss(trained: Arrays, frozen: Arrays, running: Arrays, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Arrays]:
        moved: Arrays = {}
        logits = forward(model, "", trained | frozen | running, x, moved)
        chosen = jax.nn.one_hot(y, network.classes) * jax.nn.log_softmax(logits)
        return -jnp.sum(chosen) / len(y), moved

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(state: State, slots: Slots, frozen: Arrays, x: jax.Array, y: jax.Array) -> tuple[State, Slots]:
        trained, running = state
        gradients, moved = jax.grad(loss, has_aux=True)(trained, frozen, running, x, y)
        trained, slots = updated(trained, gradients, slots, optimizer)
        return (trained, moved), slots

    def step() -> State:
        nonlocal state, slots
        state, slots = update(state, slots, frozen, x, y)
        return state

    return step


def slots_of(trained: Arrays, optimizer: str) -> Slots:
    """Return the initial state that an optimizer keeps besides the parameters."""
    names = {"sgd": (), "momentum": ("velocity",), "adam": ("mean", "square")}[optimizer]
    slots = {slot: {name: jnp.zeros_like(value) for name, value in trained.items()} for slot in names}
    return slots | ({"count": {"": jnp.zeros(())}} if optimizer == "adam" else {})


def updated(trained: Arrays, gradients: Arrays, slots: Slots, optimizer: str) -> tuple[Arrays, Slots]:
    """Return parameters and slots after an update."""
    rate = RATES[optimizer]

    def each(function: Callable[..., jax.Array], *arrays: Arrays) -> Arrays:
        return {name: function(*(some[name] for some in arrays)) for name in trained}

    if optimizer == "sgd":
        return each(lambda p, g: p - rate * g, trained, gradients), slots
    if optimizer == "momentum":
        velocity = each(lambda v, g: MOMENTUM * v + g, slots["velocity"], gradients)
        return each(lambda p, v: p - rate * v, trained, velocity), {"velocity": velocity}
    count = slots["count"][""] + 1
    mean = each(lambda m, g: 0.9 * m + 0.1 * g, slots["mean"], gradients)
    square = each(lambda s, g: 0.999 * s + 0.001 * g * g, slots["square"], gradients)
    mean_weight, square_weight = 1 - 0.9**count, 1 - 0.999**count
    trained = each(
        lambda p, m, s: p - rate * (m / mean_weight) / (jnp.sqrt(s / square_weight) + 1e-8), trained, mean, square
    )
    return trained, {"mean": mean, "square": square, "count": {"": count}}


def jax_inference(network: Any, batch: int) -> Callable[[], object]:
    """Return a function that computes the logits of one batch."""
    model, x, _ = jax_model(network, batch)
    trained, frozen = parameters(model)
    arrays = trained | frozen | buffers(model)
    infer = jax.jit(lambda arrays, x: forward(model, "", arrays, x, None))
    return lambda: jax.block_until_ready(infer(arrays, x))


def jax_model(network: Any, batch: int) -> tuple[Any, jax.Array, jax.Array]:
    """Return xnn's built network, and images and labels as arrays of JAX."""
    model, x, y = xnn_model(network, batch)
    return model, jnp.array(x), jnp.array(y)


def parameters(model: Any) -> State:
    """Return copies of the parameters by name: the trained ones, and the others."""
    starts = model.parameters.starts
    trained = {name for name in starts for run in model.segments() if run.start <= starts[name] < run.stop}
    copies = {name: jnp.array(value) for name, value in model.parameters.items()}
    return (
        {name: value for name, value in copies.items() if name in trained},
        {name: value for name, value in copies.items() if name not in trained},
    )


def buffers(model: Any) -> Arrays:
    """Return copies of the running statistics, by name."""
    return {name: jnp.array(value) for name, value in model.buffers.items()}


def forward(layer: nn.Layer, path: str, arrays: Arrays, x: jax.Array, moved: Arrays | None) -> jax.Array:
    """Compute in JAX what a layer of xnn computes; the names of its arrays begin with `path`.

    In training `moved` takes the new running statistics; None means inference.
    """
    match layer:
        case nn.Sequential():
            for number, inner in enumerate(layer.layers):
                x = forward(inner, f"{path}{number}.", arrays, x, moved)
            return x
        case nn.Residual():
            passed = x if layer.shortcut is None else forward(layer.shortcut, f"{path}shortcut.", arrays, x, moved)
            return forward(layer.body, f"{path}body.", arrays, x, moved) + passed
        case nn.Flatten():
            return x.reshape(len(x), -1)
        case nn.Linear():
            return _add_bias(x @ arrays[f"{path}weight"], path, arrays)
        case nn.Conv2d():
            return _add_bias(_conv2d(layer, arrays[f"{path}weight"], x), path, arrays)
        case nn.BatchNorm():
            return _batch_norm(layer, path, arrays, x, moved)
        case nn.MaxPool2d():
            return lax.reduce_window(x, -jnp.inf, lax.max, (1, *layer.window, 1), (1, *layer.stride, 1), "VALID")
        case nn.AvgPool2d():
            sums = lax.reduce_window(x, 0.0, lax.add, (1, *layer.window, 1), (1, *layer.stride, 1), "VALID")
            return sums / (layer.window[0] * layer.window[1])
        case nn.GlobalAvgPool2d():
            return jnp.mean(x, (1, 2))
        case nn.GlobalMaxPool2d():
            return jnp.max(x, (1, 2))
        case nn.ReLU():
            return jax.nn.relu(x)
        case nn.GELU():
            return jax.nn.gelu(x, approximate=layer.approximate == "tanh")
        case nn.Tanh():
            return jnp.tanh(x)
    raise TypeError(f"{type(layer).__name__} has no counterpart in JAX here: add it to benchmarks/peers_jax.py")


def _add_bias(y: jax.Array, path: str, arrays: Arrays) -> jax.Array:
    bias = arrays.get(f"{path}bias")
    return y if bias is None else y + bias


def _conv2d(layer: nn.Conv2d, weight: jax.Array, x: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        x, weight, layer.stride, [(layer.padding, layer.padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _batch_norm(layer: nn.BatchNorm, path: str, arrays: Arrays, x: jax.Array, moved: Arrays | None) -> jax.Array:
    names = (f"{path}running_mean", f"{path}running_variance")
    mean, variance = (arrays[name] for name in names)
    if moved is not None:
        axes = tuple(range(x.ndim - 1))
        now = (jnp.mean(x, axes), jnp.var(x, axes))
        count = x.size // x.shape[-1]
        unbiased = now[1] * (count / max(count - 1, 1))
        moved[names[0]] = mean + layer.momentum * (now[0] - mean)
        moved[names[1]] = variance + layer.momentum * (unbiased - variance)
        mean, variance = now
    weight, scale = arrays.get(f"{path}weight"), lax.rsqrt(variance + layer.eps)
    return _add_bias((x - mean) * (scale if weight is None else weight * scale), path, arrays)

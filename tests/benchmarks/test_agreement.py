"""The peers compute the same as xnn.

torch.compile is not tested here: it takes 20 seconds for one network.
"""

import importlib.util

import numpy as np
import pytest

from benchmarks import peers_torch, peers_xnn, tasks
from benchmarks.networks import NETWORKS
from xnn import nn

SAME = ("mlp 784-128-10", "LeNet-5", "conv-norm 32-64-128", "residual", "speed")
ALL = [*((name, "sgd") for name in SAME), *(("mlp 784-128-10", name) for name in ("momentum", "adam"))]


@pytest.mark.parametrize("name", NETWORKS)
def test_pytorch_has_as_many_parameters(name):
    pytest.importorskip("torch")
    network = NETWORKS[name]
    model = network.xnn().build(network.input_shape, backend="numpy")
    parameters = dict(network.torch().named_parameters())
    frozen_scales = {name for name, p in parameters.items() if not p.requires_grad and p.ndim == 1} - {"0.bias"}
    counted = sum(p.numel() for name, p in parameters.items() if name not in frozen_scales)
    assert counted == model.parameters.flat.size


def xnn_after(steps, network, optimizer="sgd"):
    """Return logits in inference, and parameters before and after so many steps."""
    model, x, y = peers_xnn.xnn_model(network, 4)
    logits, before = model(x), model.state_dict()
    update, loss = peers_xnn.xnn_optimizer(model, optimizer), nn.SoftmaxCrossEntropy()
    for _ in range(steps):
        outputs, pullback = model.forward(x, train=True)
        pullback(loss.forward(outputs, y)[1](), input_gradient=False)
        update.step()
    return logits, before, model.state_dict()


def assert_moved_alike(found, before, after):
    frozen = {name for name, value in after.items() if np.array_equal(value, before[name])}
    assert set(found) == set(after) - frozen
    for key, value in found.items():
        moved, expected = np.asarray(value) - before[key], after[key] - before[key]
        np.testing.assert_allclose(moved, expected, rtol=0, atol=0.01 * np.max(np.abs(expected)) + 1e-9, err_msg=key)


@pytest.mark.parametrize(("name", "optimizer"), ALL)
def test_jax_computes_the_same(name, optimizer, monkeypatch):
    pytest.importorskip("jax")
    from benchmarks import peers_jax

    steps = 1 if optimizer == "sgd" else 3
    monkeypatch.setitem(tasks.RATES, optimizer, 1e-3)
    logits, before, after = xnn_after(steps, NETWORKS[name], optimizer)
    np.testing.assert_allclose(peers_jax.jax_inference(NETWORKS[name], 4)(), logits, rtol=1e-4, atol=1e-4)
    train = peers_jax.trainer(NETWORKS[name], 4, optimizer)
    trained, running = [train() for _ in range(steps)][-1]
    assert_moved_alike(trained | running, before, after)


@pytest.mark.parametrize("optimizer", tasks.OPTIMIZERS)
@pytest.mark.parametrize("fused", [False, True])
def test_pytorch_updates_in_the_same_way(optimizer, fused, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setitem(tasks.RATES, optimizer, 1e-3)
    _, before, after = xnn_after(3, NETWORKS["mlp 784-128-10"], optimizer)
    model, x, y = peers_torch.torch_model(NETWORKS["mlp 784-128-10"], 4, False)
    # PyTorch's images have their channels first: of one channel the order of pixels is the same.
    model.load_state_dict({name: torch.tensor(array.T.copy()) for name, array in before.items()})
    update = peers_torch.torch_optimizer(model, optimizer, fused)
    for _ in range(3):
        update.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        update.step()
    found = {name: value.numpy().T for name, value in model.state_dict().items()}
    assert_moved_alike(found, before, after)


def keras_or_skip():
    pytest.importorskip("jax")
    # Not imported to find out: it would take another backend.
    if importlib.util.find_spec("keras") is None:
        pytest.skip("could not import 'keras'")
    return importlib.import_module("benchmarks.peers_keras")


@pytest.mark.parametrize(("name", "optimizer"), ALL)
def test_keras_computes_the_same(name, optimizer, monkeypatch):
    peers_keras = keras_or_skip()
    monkeypatch.setitem(tasks.RATES, optimizer, 1e-3)
    logits, before, after = xnn_after(2, NETWORKS[name], optimizer)
    model, x, y = peers_keras.keras_model(NETWORKS[name], 4, optimizer)
    np.testing.assert_allclose(model.predict_on_batch(x), logits, rtol=1e-4, atol=1e-4)
    start = [np.asarray(variable.value) for variable in model.trainable_variables]
    for _ in range(2):
        model.train_on_batch(x, y)
    moved = [np.linalg.norm(v.value - a) for v, a in zip(model.trainable_variables, start, strict=True)]
    expected = [np.linalg.norm(after[key] - before[key]) for key in before if "running" not in key]
    # What is frozen is not among Keras's trainable variables.
    expected = [distance for distance in expected if distance]
    np.testing.assert_allclose(sorted(moved), sorted(expected), rtol=0.01, atol=1e-7)

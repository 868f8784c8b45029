"""Whole networks, drawn at random."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn import nn
from xnn.testing import check_layer
from xnn.testing.strategies import networks


@settings(max_examples=max(settings().max_examples // 2, 5))
@given(case=networks(), train=st.booleans(), seed=st.integers(0, 99))
def test_gradients(backend, case, train, seed):
    network, shape = case
    check_layer(network, shape, train=train, backend=backend, seed=seed, step=1e-3, rtol=1e-5)


@given(case=networks(smooth=False), seed=st.integers(0, 99))
def test_one_step_of_training_is_the_same_on_every_backend(backends, case, seed):
    network, shape = case
    random = np.random.default_rng(seed)
    x = random.standard_normal((4, *shape))
    results = []
    for backend in backends:
        model = network.build(shape, backend=backend, seed=seed, dtype="float64")
        labels = np.arange(4) % model.output_shape[0]
        logits, pullback = model.forward(backend.asarray(x), train=True)
        loss, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, backend.asarray(labels))
        pullback(loss_pullback(), input_gradient=False)
        model.parameters.flat[...] -= 0.1 * model.gradients.flat
        results.append([np.array(backend.to_numpy(a)) for a in (loss, model.parameters.flat, model.buffers.flat)])
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            scale = np.max(np.abs(expected), initial=1.0)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * scale)


@given(
    case=networks(smooth=False, dropout=False, batch_norm=False),
    sizes=st.lists(st.integers(1, 3), min_size=2, max_size=3),
    seed=st.integers(0, 99),
)
def test_gradients_of_shards_add_up_to_the_batch_s(backend, case, sizes, seed):
    """The loss is a mean over images, so each shard's gradient counts by its share of them."""
    network, shape = case
    model = network.build(shape, backend=backend, seed=seed, dtype="float64")
    images = sum(sizes)
    x = backend.asarray(np.random.default_rng(seed).standard_normal((images, *shape)))
    labels = backend.asarray(np.arange(images) % model.output_shape[0])

    def gradients(start, stop):
        logits, pullback = model.forward(x[start:stop, ...], train=True)
        _, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, labels[start:stop])
        dx = pullback(loss_pullback())
        share = (stop - start) / images
        return share * backend.to_numpy(model.gradients.flat), share * backend.to_numpy(dx)

    stops = np.cumsum(sizes).tolist()
    found = [gradients(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
    expected, expected_dx = gradients(0, images)
    for sums, whole in (
        (sum(shard for shard, _ in found), expected),
        (np.concatenate([dx for _, dx in found]), expected_dx),
    ):
        np.testing.assert_allclose(sums, whole, rtol=0, atol=1e-12 * np.max(np.abs(whole), initial=1.0))

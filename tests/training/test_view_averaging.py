import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn
from xnn.backends import backend as make_backend
from xnn.training.view_averaging import VIEWS, of_one_view, over_views, predictor, views_of

shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))


def linear(backend, shape, dtype="float64"):
    return nn.Sequential(nn.Flatten(), nn.Linear(3)).build(shape, backend=backend, seed=1, dtype=dtype)


def shifted(x, offset):
    """The image seen through a window moved by (offset, offset), by NumPy's own reflection."""
    widths = [(0, 0), *((1, 1) if side > 1 else (0, 0) for side in x.shape[1:3]), (0, 0)]
    padded = np.pad(x, widths, "reflect")
    for axis, side in enumerate(x.shape[1:3], 1):
        if side > 1:
            padded = np.take(padded, np.arange(side) + 1 + offset, axis=axis)
    return padded


@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_the_output_is_the_weighted_mean_of_the_views(backend, shape, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    model = linear(backend, shape[1:])

    def outputs(images):
        return backend.to_numpy(model(backend.asarray(images.copy())))

    weighted = [(x, 0.5), (shifted(x, 1), 0.25), (shifted(x, -1), 0.25)]
    expected = {
        1: outputs(x),
        2: (outputs(x) + outputs(x[:, :, ::-1])) / 2,
        6: sum(weight * (outputs(view) + outputs(view[:, :, ::-1])) / 2 for view, weight in weighted),
    }
    before = x.copy()
    for views in VIEWS:
        found = backend.to_numpy(predictor(model, views)(backend.asarray(x)))
        np.testing.assert_allclose(found, expected[views], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(x, before)


def test_an_image_and_its_mirror_get_the_same_output():
    backend = make_backend("numpy")
    layers = nn.Conv2d(4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5)
    model = nn.Sequential(*layers).build((8, 7, 2), backend=backend, dtype="float32")
    x = np.random.default_rng(0).normal(size=(6, 8, 7, 2)).astype(np.float32)
    mirrored = np.ascontiguousarray(x[:, :, ::-1])
    predict = predictor(model, 2)
    np.testing.assert_allclose(predict(mirrored), predict(x), rtol=0, atol=1e-5)
    assert np.abs(model(mirrored) - model(x)).max() > 0.01


def test_one_view_is_the_model_itself():
    model = linear(make_backend("numpy"), (2, 2, 1))
    assert predictor(model, 1) is model
    with pytest.raises(ValueError, match=r"^views must be one of 1, 2, 6, not 3$"):
        predictor(model, 3)


def test_a_predictor_knows_its_views_and_anything_else_has_one():
    model = linear(make_backend("numpy"), (2, 2, 1))
    assert [views_of(predictor(model, views)) for views in VIEWS] == list(VIEWS)
    assert views_of(lambda x: model(x)) == 1


def test_only_where_there_are_several_views_a_figure_says_how_many():
    assert [over_views("accuracy", views) for views in VIEWS] == ["accuracy", "accuracy, 2 views", "accuracy, 6 views"]
    assert [of_one_view("test", views) for views in VIEWS] == ["test", "test, one view", "test, one view"]

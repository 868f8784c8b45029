"""Errors of models, and a layer of one's own."""

import numpy as np
import pytest

from xnn import nn
from xnn.nn import initializers


def small_model(backend="numpy", seed=0, dtype="float64"):
    model = nn.Sequential(
        nn.Conv2d(3, 3, padding="same"), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(5), nn.Linear(2, bias=False)
    )
    return model.build((4, 4, 2), backend=backend, seed=seed, dtype=dtype)


def test_freezing_what_is_not_there_names_what_is():
    with pytest.raises(ValueError, match=r"'7'.*0\.weight"):
        small_model().freeze("7")
    with pytest.raises(ValueError, match=r"'0\.w'"):
        small_model().unfreeze("0.w")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.bias"), r"'0\.bias' is missing"),
        (lambda state: state.update({"4.bias": [0.0] * 5}), r"'4\.bias' is a list, not an array"),
        (lambda state: state.update(extra=np.zeros(1)), "'extra' is not in the model"),
        (lambda state: state.update({"4.bias": np.zeros(4)}), r"'4\.bias' has shape \(4,\)"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    model = small_model()
    before, state = model.state_dict(), small_model(seed=1).state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_using_a_model_before_it_is_built_says_so():
    model = nn.Sequential(nn.Linear(2))
    with pytest.raises(AttributeError, match="call build"):
        model(np.ones((1, 3)))
    with pytest.raises(AttributeError, match="call build"):
        _ = model.parameters
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        _ = model.build((3,), backend="numpy").nothing


def test_dtypes_that_are_not_for_models():
    with pytest.raises(ValueError, match="int64"):
        nn.Sequential(nn.Linear(1)).build((1,), backend="numpy", dtype="int64")


def test_a_layer_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Layer names no function and does not implement forward"):
        nn.Layer().build((1,), backend="numpy").forward(np.ones((1, 1)))


class Scale(nn.Layer):
    """A user's layer: y = scale x, one number for each feature."""

    def initialize(self, shape):
        self.scale = self.parameter("scale", shape[-1:], initializers.ones, decay=False)
        return shape

    def forward(self, x, train=False):
        def pullback(dy, needs):
            return dy * self.scale.value if needs[0] else None, (dy * x).sum(axis=0) if needs[1] else None

        return self.connect((x * self.scale.value, pullback), self.scale)


def test_a_layer_of_ones_own_joins_in():
    from xnn.testing import check_layer

    check_layer(nn.Sequential(nn.Linear(3), Scale(), nn.Tanh()), (2,))


@pytest.mark.parametrize("shape", [4, "4", (4.0,), (0,), (True,)])
def test_an_input_shape_is_a_tuple_of_positive_integers(shape):
    with pytest.raises(ValueError, match="input_shape must be a tuple"):
        nn.Sequential(nn.Linear(1)).build(shape, backend="numpy")


def test_a_function_that_is_not_there_is_named():
    class Sine(nn.Layer):
        function = "sin"

    with pytest.raises(ValueError, match="has no function 'sin'"):
        Sine().build((1,), backend="numpy")


def test_an_attribute_of_the_user_s_own_may_be_called_function():
    class Apply(nn.Layer):
        def __init__(self, function):
            self.function = function

        def forward(self, x, train=False):
            return self.function(x), lambda dy, input_gradient=True: dy

    np.testing.assert_array_equal(Apply(np.negative).build((1,), backend="numpy")(np.ones((1, 1))), -np.ones((1, 1)))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
def test_channels_that_come_first_are_warned_of(shape):
    with pytest.warns(
        UserWarning, match=rf"looks like \(channels, .* last: give \({shape[1]}, {shape[1]}, {shape[0]}\)"
    ):
        nn.ReLU().build(shape, backend="numpy")


@pytest.mark.parametrize("shape", [(3, 7, 7), (2, 32, 32), (3, 32, 31), (32, 32, 3), (32, 32), (1, 1, 1)])
def test_other_shapes_are_not_warned_of(shape):
    """Warnings are errors here."""
    assert nn.ReLU().build(shape, backend="numpy").output_shape == shape


def test_what_fits_is_taken_and_the_rest_is_named():
    """Without `strict`, as for another number of classes."""
    state = small_model(seed=1).state_dict()
    model = nn.Sequential(
        nn.Conv2d(3, 3, padding="same"), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(6), nn.Linear(2)
    ).build((4, 4, 2), backend="numpy", dtype="float64")
    before = model.state_dict()
    state["4.weight"] = state["4.weight"].tolist()
    misfits = model.load_state_dict({**state, "7.weight": np.zeros(3)}, strict=False)
    assert misfits == (("5.bias",), ("7.weight",), ("4.weight", "4.bias", "5.weight"))
    assert misfits.missing == ("5.bias",)
    left = {*misfits.missing, *misfits.mismatched}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name] if name in left else state[name])
    assert np.any(before["0.weight"] != state["0.weight"])


def test_a_state_that_fits_leaves_nothing_over():
    model, state = small_model(), small_model(seed=1).state_dict()
    assert model.load_state_dict(state) == model.load_state_dict(state, strict=False) == ((), (), ())


@pytest.mark.parametrize("layer", [nn.Linear(3), nn.Sequential(nn.Flatten(), nn.Linear(3)), nn.Sequential(nn.ReLU())])
def test_lists_are_told_to_be_arrays(layer):
    model = layer.build((2,))
    calls = [model] if isinstance(layer, nn.Linear) else [model, model.forward]
    for call in calls:
        with pytest.raises(TypeError, match=r"^x must be an array, not a list; numpy\.asarray makes one of it$"):
            call([[1.0, 2.0]])


def test_parameters_called_as_in_pytorch_say_what_an_optimizer_takes():
    with pytest.raises(TypeError, match=r"not a method; an optimizer takes the model itself"):
        nn.Linear(3).build((2,)).parameters()

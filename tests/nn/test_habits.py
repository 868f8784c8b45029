"""Layers that are made as in another library: an error that says how it is here, not another net."""

import inspect

import pytest

from xnn import nn

LAYERS = {name: kind for name, kind in inspect.getmembers(nn, inspect.isclass) if issubclass(kind, nn.Layer)}


@pytest.mark.parametrize("name", LAYERS)
def test_at_most_two_arguments_go_without_their_names(name):
    kinds = [p.kind for p in list(inspect.signature(LAYERS[name].__init__).parameters.values())[1:]]
    assert kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) <= 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Linear(4, 3),
            "Linear(4, 3) does not fit Linear(features, *, bias, weight_initializer, bias_initializer); "
            "give only the outputs, as in Linear(10): build infers the inputs",
        ),
        (
            lambda: nn.Conv2d(3, 8, 3),
            "Conv2d(3, 8, 3) does not fit Conv2d(channels, kernel, *, stride, padding, dilation, groups, bias, "
            "weight_initializer, bias_initializer, trainable); "
            "give the outputs and the kernel, as in Conv2d(8, 3): build infers the inputs",
        ),
        (
            lambda: nn.Conv2d(8, kernel_size=3),
            "Conv2d(8, kernel_size=3) does not fit Conv2d(channels, kernel, *, stride, padding, dilation, groups, "
            "bias, weight_initializer, bias_initializer, trainable); kernel_size is called kernel here",
        ),
        (
            lambda: nn.BatchNorm(64),
            "BatchNorm(64) does not fit BatchNorm(*, momentum, eps, scale, shift); "
            "it takes no number of channels, as in BatchNorm(): build infers it",
        ),
        (
            lambda: nn.LayerNorm([8, 8]),
            "LayerNorm([8, 8]) does not fit LayerNorm(*, eps, scale, shift); "
            "it takes no shape, as in LayerNorm(): build infers the channels, the last axis",
        ),
        (
            lambda: nn.MaxPool2d(3, 2, 1),
            "MaxPool2d(3, 2, 1) does not fit MaxPool2d(window, stride, *, padding); "
            "give the window and the stride, as in MaxPool2d(3, 2), and the rest by name",
        ),
        (lambda: nn.Dropout(p=0.5), "Dropout(p=0.5) does not fit Dropout(rate); p is called rate here"),
        (lambda: nn.Softmax(dim=1), "Softmax(dim=1) does not fit Softmax(axis); dim is called axis here"),
        (lambda: nn.ReLU(inplace=True), "ReLU(inplace=True) does not fit ReLU()"),
        (
            lambda: nn.Sequential(nn.ReLU(), name="net"),
            "Sequential(ReLU(), name='net') does not fit Sequential(*layers)",
        ),
        (
            lambda: nn.Residual(nn.ReLU(), nn.Tanh(), nn.Tanh()),
            "Residual(ReLU(), Tanh(), Tanh()) does not fit Residual(body, shortcut); "
            "give a body and at most a shortcut; layers in a row are one Sequential",
        ),
    ],
)
def test_the_habits_of_other_libraries_are_answered(make, message):
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(4, bias=3), "Linear: bias must be True or False, not 3"),
        (lambda: nn.Conv2d(4, 3, bias=0), "Conv2d: bias must be True or False, not 0"),
        (lambda: nn.Conv2d(4, 3, trainable="no"), "Conv2d: trainable must be True or False, not 'no'"),
        (lambda: nn.BatchNorm(scale=1), "BatchNorm: scale must be True or False, not 1"),
        (lambda: nn.LayerNorm(shift=None), "LayerNorm: shift must be True or False, not None"),
        (
            lambda: nn.BatchNorm(momentum="fast"),
            "BatchNorm: momentum must be a number above 0 and at most 1, not 'fast'",
        ),
        (lambda: nn.LeakyReLU(True), "LeakyReLU: slope must be a finite number, not True"),
        (lambda: nn.ELU("1"), "ELU: alpha must be a finite number, not '1'"),
        (lambda: nn.Softmax(1.0), "Softmax: axis must be an integer, not 1.0"),
        (lambda: nn.LogSoftmax(None), "LogSoftmax: axis must be an integer, not None"),
        (lambda: nn.Reshape((4, 3)), "Reshape: give the lengths one by one, as in Reshape(4, 3), not (4, 3)"),
        (lambda: nn.Reshape(4, -1), "Reshape: each length must be an integer of at least 1, not -1"),
    ],
)
def test_arguments_of_another_kind_are_named(make, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        make()
    assert str(caught.value) == message


def test_an_initializer_is_a_function():
    with pytest.raises(TypeError, match=r"Linear: the initializer of weight must be a function, .* not 'kaiming'"):
        nn.Linear(3, weight_initializer="kaiming").build((2,), backend="numpy")


class Widen(nn.Layer):
    """A layer of a user's own, with a mistake inside."""

    def __init__(self, factor):
        self.factor = 2 + factor


def test_a_layer_of_ones_own_is_explained_too_but_not_what_goes_wrong_inside_it():
    with pytest.raises(TypeError, match=r"^Widen\(\) does not fit Widen\(factor\)$"):
        Widen()
    with pytest.raises(TypeError, match="unsupported operand"):
        Widen("3")
    assert inspect.signature(Widen).parameters.keys() == {"factor"}

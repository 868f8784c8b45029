"""The check of layers: it passes what is right, and catches what is wrong."""

import numpy as np
import pytest

from xnn import functional as F
from xnn import nn
from xnn.nn import initializers
from xnn.testing import check_layer


class Scale(nn.Layer):
    """y = scale x; each of the methods below can be replaced by a wrong one."""

    def initialize(self, shape):
        self.scale = self.parameter("scale", shape[-1:], initializers.ones, decay=False)
        return shape

    def forward(self, x, train=False):
        scale = self.scale.value

        def pullback(dy, needs):
            return dy * scale if needs[0] else None, self.sum(dy * x) if needs[1] else None

        return self.connect((x * scale, pullback), self.scale)

    def sum(self, a):
        return self.backend.xp.sum(a, axis=0)


class WrongFactor(Scale):
    def sum(self, a):
        return 0.5 * super().sum(a)


class WrongShape(Scale):
    def initialize(self, shape):
        super().initialize(shape)
        return (*shape, 1)


class Accumulates(Scale):
    def forward(self, x, train=False):
        def pullback(dy, input_gradient=True):
            self.scale.gradient[...] += self.sum(dy * x)
            return dy * self.scale.value if input_gradient else None

        return x * self.scale.value, pullback


class Forgets(Scale):
    def forward(self, x, train=False):
        return x * self.scale.value, lambda dy, input_gradient=True: dy * self.scale.value if input_gradient else None


class GivesUnasked(Scale):
    def forward(self, x, train=False):
        y, pullback = super().forward(x, train)
        return y, lambda dy, input_gradient=True: pullback(dy, True)


class SkipsUnasked(Scale):
    def forward(self, x, train=False):
        y, pullback = super().forward(x, train)

        def lazy(dy, input_gradient=True):
            if not input_gradient:
                self.scale.gradient[...] = 0.0
                return None
            return pullback(dy, True)

        return y, lazy


class OtherInInference(nn.Layer):
    """Right in training alone."""

    def forward(self, x, train=False):
        return self.connect(F.tanh(x) if train else (2.0 * x, lambda dy: dy))


def test_a_right_layer_passes(backend):
    check_layer(Scale(), (3,), backend=backend)
    check_layer(nn.Sequential(nn.Linear(3), Scale(), nn.Tanh()), (2,), backend=backend)


@pytest.mark.parametrize(
    ("layer", "culprit"),
    [
        (WrongFactor, r"WrongFactor: the pullback is wrong for argument 1 \(scale\) of shape \(3,\)"),
        (WrongShape, r"initialize promised outputs of shape \(3, 1\), forward makes \(3,\)"),
        (Accumulates, r"wrong for argument 1 \(scale\) of shape \(3,\): nan at \(0,\)"),
        (Forgets, r"wrong for argument 1 \(scale\) of shape \(3,\): nan"),
        (GivesUnasked, "returns an input gradient that was not asked for"),
        (SkipsUnasked, r"the gradient of scale depends on input_gradient: -?\d\S+ with it and 0 without, at \(0,\)"),
    ],
)
def test_a_wrong_layer_is_caught(layer, culprit, backend):
    with pytest.raises(AssertionError, match=culprit):
        check_layer(layer(), (3,), backend=backend)


def test_parameters_inside_a_model_are_called_by_name():
    with pytest.raises(AssertionError, match=r"Sequential: the pullback is wrong for argument 3 \(1\.scale\)"):
        check_layer(nn.Sequential(nn.Linear(3), WrongFactor()), (2,))


def test_training_and_inference_are_checked_apart():
    check_layer(OtherInInference(), (3,), train=True)
    with pytest.raises(AssertionError, match=r"wrong for argument 0 \(input\)"):
        check_layer(OtherInInference(), (3,), train=False)


def test_random_numbers_and_running_statistics_stand_still_while_checked():
    model = nn.Sequential(nn.Linear(8), nn.BatchNorm(momentum=1.0), nn.Dropout(0.5), nn.Linear(2))
    check_layer(model, (4,), train=True, batch=5)
    check_layer(model, (4,), train=False)


def test_inputs_of_one_s_own():
    with pytest.raises(AssertionError, match="do not settle"):
        check_layer(nn.ReLU(), (2,), x=np.zeros((1, 2)))
    check_layer(nn.ReLU(), (2,), x=np.ones((1, 2)))

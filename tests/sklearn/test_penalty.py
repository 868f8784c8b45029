"""The penalty of a training that goes on is the one that the parameters say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

from tests.sklearn.drawn import classifier, examples, seeds
from xnn.optim import Groups

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def decays(network):
    optimizer = network._optimizer
    return [each.weight_decay for each in (optimizer.optimizers if isinstance(optimizer, Groups) else [optimizer])]


@given(
    seed=seeds,
    # Each way from no penalty to one, and the sizes of pieces that change it by themselves.
    alphas=st.permutations([0.0, 0.5, 2.0]),
    sizes=st.permutations([3, 8, 24]),
    options=st.sampled_from(
        [{"solver": name} for name in ("sgd", "adam", "adamw", "rmsprop", "muon")] + [{"recipe": "mlp"}]
    ),
)
def test_each_piece_has_the_penalty_of_its_parameters_and_size(seed, alphas, sizes, options):
    x, labels = examples(seed)
    network = classifier(batch_size=10, **options)
    for alpha, size in zip(alphas, sizes, strict=True):
        network.set_params(alpha=alpha).partial_fit(x[:size], labels[:size], classes=[0, 1, 2])
        alone = classifier(batch_size=10, alpha=alpha, **options).partial_fit(x[:size], labels[:size], [0, 1, 2])
        assert decays(network) == pytest.approx(decays(alone), rel=1e-12)
        assert decays(network)[0] == pytest.approx(alpha / min(size, 10))


def test_a_penalty_set_later_shrinks_the_weights():
    x, labels = examples(0)
    sizes = []
    for alpha in (0.0, 1e3):
        network = classifier(solver="sgd", learning_rate_init=0.01, alpha=0.0).partial_fit(x, labels, [0, 1, 2])
        network.set_params(alpha=alpha).partial_fit(x, labels)
        sizes.append(np.linalg.norm(network.model_.state_dict()["0.weight"]))
    assert sizes[1] < 0.7 * sizes[0]

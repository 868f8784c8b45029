"""What the estimators are made of: widths, layers, recipes, images; and what they refuse."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="xnn.sklearn needs scikit-learn")

from sklearn.datasets import load_digits

import xnn
from xnn import nn, recipes
from xnn.sklearn import Classifier, Regressor, networks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(30, 12)).astype(np.float32)
IMAGES = RNG.integers(0, 256, size=(30, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def classifier(**options):
    return Classifier(**{"max_iter": 2, "random_state": 0, "backend": "numpy"} | options)


def kinds(network):
    return [type(layer).__name__ for layer in network.model_.layers]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["Linear", "ReLU", "Linear"]),
        ({"hidden": 7}, ["Linear", "ReLU", "Linear"]),
        ({"hidden": (), "activation": "tanh"}, ["Linear"]),
        (
            {"hidden_layer_sizes": [7, 5], "activation": "logistic"},
            ["Linear", "Sigmoid", "Linear", "Sigmoid", "Linear"],
        ),
        ({"hidden": (7, 5), "activation": "identity"}, ["Linear", "Linear", "Linear"]),
        ({"layers": []}, ["Linear"]),
        ({"layers": [nn.Linear(7), nn.ReLU()]}, ["Linear", "ReLU", "Linear"]),
        ({"layers": [nn.Linear(7), nn.ReLU(), nn.Linear(3)]}, ["Linear", "ReLU", "Linear"]),
        ({"layers": [nn.Linear(3), nn.ReLU()]}, ["Linear", "ReLU", "Linear"]),
        ({"layers": nn.Sequential(nn.Linear(7), nn.Linear(3))}, ["Linear", "Linear"]),
    ],
)
def test_widths_and_layers(options, expected):
    network = classifier(**options).fit(ROWS, LABELS)
    assert kinds(network) == expected
    assert network.model_.output_shape == (3,)
    assert network.predict_proba(ROWS).shape == (30, 3)


@pytest.mark.parametrize(("activation", "factor"), [("relu", 6), ("tanh", 6), ("logistic", 2)])
def test_initial_weights_and_biases_are_drawn_as_scikit_learn_draws_them(activation, factor):
    model = networks.plain((80, 50), activation, (30,), 40).build((30,), backend="numpy", dtype="float64")
    for inputs, width, layer in zip((30, 80, 50), (80, 50, 40), model.layers[::2], strict=True):
        reach = np.sqrt(factor / (inputs + width))
        for values in (layer.weight.value, layer.bias.value):
            assert 0.8 * reach < np.abs(values).max() <= reach
            # Uniform: half of the numbers are nearer to 0 than half the reach.
            assert 0.25 < np.mean(np.abs(values) < reach / 2) < 0.75


def test_layers_of_images_get_what_is_missing():
    network = classifier(layers=[nn.Conv2d(4, 3), nn.ReLU()]).fit(IMAGES, LABELS)
    assert kinds(network) == ["Conv2d", "ReLU", "Flatten", "Linear"]
    assert network.n_features_in_ == 8 * 8 * 3


@pytest.mark.parametrize("name", list(recipes.RECIPES))
def test_every_recipe_learns_images(name):
    digits = load_digits()
    images, labels = digits.images[:80], digits.target[:80]
    # The plain SGD of lab6 has a learning rate for many more than 32 steps.
    rate = 0.1 if name == "lab6" else None
    network = classifier(recipe=name, max_iter=4, batch_size=10, dtype="float32", learning_rate_init=rate)
    network.fit(images, labels)
    assert network.n_iter_ == 4
    assert network.loss_curve_[-1] < 0.99 * network.loss_curve_[0]
    # Over three seeds, 0.61 at least.
    assert network.score(digits.images[80:], digits.target[80:]) > 0.5


def test_a_recipe_has_its_own_training_unless_told():
    own = classifier(recipe="mlp", max_iter=None).fit(ROWS, LABELS)
    assert own.n_iter_ == 20
    assert type(own._optimizer).__name__ == "AdamW"
    assert own._optimizer.weight_decay == 0.05
    told = classifier(recipe="mlp", solver="sgd", alpha=0.3, hidden=5, batch_size=10, learning_rate="constant")
    told.set_params(learning_rate_init=0.01, momentum=0.5).fit(ROWS, LABELS)
    assert type(told._optimizer).__name__ == "SGD"
    assert (told._optimizer.lr, told._optimizer.momentum) == (0.01, 0.5)
    assert told._optimizer.weight_decay == pytest.approx(0.3 / 10)
    assert told.model_.layers[1].features == 5


@pytest.mark.parametrize("name", ["mlp", "lab6"])
def test_recipes_without_convolutions_take_rows_and_regress(name):
    targets = ROWS[:, :2] @ np.array([[1.0, 0.0], [1.0, -1.0]])
    network = Regressor(recipe=name, max_iter=3, random_state=0, backend="numpy").fit(ROWS, targets)
    assert network.predict(ROWS).shape == (30, 2)
    assert network.loss_curve_[-1] < network.loss_curve_[0]


def test_rows_are_images_by_image_shape():
    flat = IMAGES.reshape(30, -1)
    layers = [nn.Conv2d(4, 3), nn.ReLU()]
    by_rows = classifier(layers=layers, image_shape=(8, 8, 3)).fit(flat, LABELS)
    by_images = classifier(layers=layers).fit(IMAGES, LABELS)
    assert np.array_equal(by_rows.predict_proba(flat), by_images.predict_proba(IMAGES))
    # A network of images takes them as rows, too.
    assert np.array_equal(by_images.predict_proba(flat), by_images.predict_proba(IMAGES))


def test_grey_images_may_lack_their_channel():
    one, other = (classifier().fit(x, LABELS) for x in (IMAGES[..., 0], IMAGES[..., :1]))
    assert np.array_equal(one.predict_proba(IMAGES[..., 0]), other.predict_proba(IMAGES[..., :1]))


def test_a_built_model_is_where_training_begins():
    model = nn.Sequential(nn.Linear(4), nn.Tanh(), nn.Linear(3)).build((12,), backend="numpy", seed=5)
    model.freeze("0")
    before = model.state_dict()
    network = classifier(layers=model).fit(ROWS, LABELS)
    after = network.model_.state_dict()
    assert np.array_equal(after["0.weight"], before["0.weight"])
    assert not np.array_equal(after["2.weight"], before["2.weight"])
    # What was given is not what is trained.
    assert all(np.array_equal(model.state_dict()[name], before[name]) for name in before)


def test_the_model_can_be_saved(tmp_path):
    network = classifier().fit(ROWS, LABELS)
    network.model_.save(tmp_path / "network.safetensors")
    loaded = xnn.load(tmp_path / "network.safetensors", backend="numpy")
    assert np.array_equal(loaded.predict_proba(ROWS), network.predict_proba(ROWS))


def test_augmentation_changes_training_alone():
    plain, moved = (classifier(augment=names, batch_size=7).fit(IMAGES, LABELS) for names in ((), ("flip", "shift")))
    assert plain.loss_curve_ != moved.loss_curve_
    alternating = classifier(augment="alternating-flip", batch_size=7).fit(IMAGES, LABELS)
    assert alternating.loss_curve_ not in (plain.loss_curve_, moved.loss_curve_)
    again = classifier(augment="alternating-flip", batch_size=7).fit(IMAGES, LABELS)
    assert again.loss_curve_ == alternating.loss_curve_


@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["auto", "float32", "float64"])
def test_the_type_is_that_of_x_or_the_one_asked_for(given, dtype):
    network = classifier(dtype=dtype).fit(ROWS.astype(given), LABELS)
    assert network.model_.dtype == (given if dtype == "auto" else dtype)
    assert network.predict_proba(ROWS).dtype == network.model_.dtype


def test_large_data_and_whole_numbers_are_computed_in_float32():
    large = np.zeros((30, 334))
    assert classifier(max_iter=1).fit(large[:, :333], LABELS).model_.dtype == "float64"
    assert classifier(max_iter=1).fit(large, LABELS).model_.dtype == "float32"
    assert classifier(max_iter=1).fit(IMAGES.reshape(30, -1), LABELS).model_.dtype == "float32"


def test_normalization_makes_scale_and_offset_indifferent():
    changed = ROWS * np.float32(64.0) + np.float32(8.0)
    one, other = (classifier(normalize=True).fit(x, LABELS) for x in (ROWS, changed))
    np.testing.assert_allclose(one.predict_proba(ROWS), other.predict_proba(changed), rtol=1e-3)
    constant = np.ones_like(ROWS)
    assert np.isfinite(classifier(normalize=True).fit(constant, LABELS).loss_)


@pytest.mark.parametrize(
    ("options", "x", "message"),
    [
        ({"recipe": "cnm"}, ROWS, "recipe must be one of cnn, mlp, .* Did you mean 'cnn'"),
        ({"recipe": "cnn"}, ROWS, "image_shape="),
        ({"recipe": "mlp", "layers": []}, ROWS, "recipe and layers"),
        ({"recipe": "mlp", "hidden": (3, 3)}, ROWS, "hidden must be one width"),
        ({"hidden": 3, "layers": []}, ROWS, "hidden and layers"),
        ({"hidden": 3, "hidden_layer_sizes": 3}, ROWS, "names for the same"),
        ({"hidden": (3, 0)}, ROWS, "hidden.* must be an integer of at least 1, not 0"),
        ({"layers": nn.Sequential(nn.Linear(4))}, ROWS, r"outputs of shape \(4,\), and y needs \(3,\)"),
        ({"layers": nn.Linear(3).build((5,), backend="numpy")}, ROWS, r"inputs of shape \(5,\), and X has \(12,\)"),
        ({"activation": "rely"}, ROWS, "activation must be one of .* Did you mean 'relu'"),
        ({"solver": "lbfgs"}, ROWS, "solver must be one of sgd, adam"),
        ({"learning_rate": "invscaling"}, ROWS, "learning_rate must be one of constant"),
        ({"learning_rate_init": -1.0}, ROWS, "learning_rate_init must be a finite number above 0"),
        ({"alpha": -1.0}, ROWS, "alpha must be"),
        ({"max_iter": 0}, ROWS, "max_iter must be"),
        ({"batch_size": 0}, ROWS, "batch_size.* must be an integer of at least 1"),
        ({"batch_size": "all"}, ROWS, "batch_size"),
        ({"n_iter_no_change": 0}, ROWS, "n_iter_no_change"),
        ({"early_stopping": True, "validation_fraction": 1.0}, ROWS, "validation_fraction"),
        ({"normalize": "yes"}, ROWS, "normalize"),
        ({"dtype": "float16"}, ROWS, "dtype must be"),
        ({"augment": "flip"}, ROWS, "image_shape="),
        ({"augment": "flap"}, IMAGES, "augment must be of .* Did you mean 'flip'"),
        ({"augment": "mixup"}, IMAGES, "augment must be of"),
        ({"image_shape": (2, 7)}, ROWS, r"image_shape=\(2, 7\) stands for 14 numbers, and X has 12"),
        ({"image_shape": "8x8"}, ROWS, "image_shape must be"),
        ({"image_shape": (64, 3, 1)}, IMAGES, "leave it out"),
        ({}, IMAGES[None], "give rows"),
    ],
)
def test_what_cannot_be_used_is_named(options, x, message):
    with pytest.raises(ValueError, match=message):
        classifier(**options).fit(x, LABELS if len(x) == 30 else [0])


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="not a layer"):
        classifier(layers=[nn.ReLU]).fit(ROWS, LABELS)
    with pytest.raises(TypeError, match="list of layers"):
        classifier(layers="conv").fit(ROWS, LABELS)


def test_images_of_another_size_are_refused():
    network = classifier().fit(IMAGES, LABELS)
    with pytest.raises(ValueError, match="images of 4x8x3, but Classifier was fitted on 8x8x3"):
        network.predict(IMAGES[:, :4])
    with pytest.raises(ValueError, match="7 features, but Classifier is expecting 192"):
        network.predict(ROWS[:, :7])


def test_the_regressors_own_errors():
    with pytest.raises(ValueError, match="loss must be one of squared_error, huber, not 'l1'"):
        Regressor(loss="l1", backend="numpy").fit(ROWS, ROWS[:, 0])
    network = Regressor(max_iter=1, backend="numpy").fit(ROWS, ROWS[:, :2])
    with pytest.raises(ValueError, match="y has 1 targets, and had 2"):
        network.partial_fit(ROWS, ROWS[:, 0])

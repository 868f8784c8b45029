"""`benchmarks.to94` runs both programs and draws them; what they reach, and how fast, is not tested."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks import machine, record_torch, to94, to94_chart
from xnn import data, nn
from xnn.training.view_averaging import predictor

torch = pytest.importorskip("torch", reason="the benchmark is of PyTorch")
SEEDS = st.integers(0, 1000)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's threads wait for each other in a busy loop, which is slow where several processes test."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_set(monkeypatch):
    """CIFAR-10 with 20 training and 8 test images; the environment stays as it is."""

    def split(seed, count):
        images = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
        return data.Split(images, np.arange(count) % 10)

    classes = tuple("abcdefghij")
    found = replace(data.load("digits"), name="cifar10", train=split(0, 20), test=split(1, 8), classes=classes)
    monkeypatch.setattr("xnn.data.load", lambda name, **options: found)
    monkeypatch.setattr(machine, "pin", lambda threads: None)


def test_a_run_goes_on_with_what_is_missing(small_set, tmp_path, capsys):
    file, picture = tmp_path / "figures.json", tmp_path / "chart.svg"
    common = ["--data-dir", str(tmp_path), "--json", str(file), "--epochs", "2", "--images", "12", "--threads", "1"]

    def run(*options):
        to94.main([*common, *options])
        return json.loads(file.read_text(encoding="utf-8")), capsys.readouterr().out

    xnn_alone, printed = run("--only", "xnn")
    assert list(xnn_alone) == ["xnn"]
    assert printed.count("| 2 |") == 1
    both, printed = run("--chart", str(picture))
    assert list(both) == ["xnn", "torch"]
    assert both["xnn"] == xnn_alone["xnn"]
    assert printed.count("| 2 |") == 1
    for each in both.values():
        first, second = each["epochs"]
        assert 0 < first["seconds"] < second["seconds"]
        # Twelve training images, so three to test on.
        assert {round(3 * row["accuracy"], 9) for row in (first, second)} <= {0, 1, 2, 3}
        assert {"date", "processor", "threads", "asked", "versions"} <= set(each)
    shapes = [shape.tag.rpartition("}")[2] for shape in ElementTree.parse(picture).iter()]
    assert (shapes.count("polyline"), shapes.count("circle")) == (2, 4)

    with pytest.raises(SystemExit):
        run("--seed", "1")
    assert "name another file" in capsys.readouterr().err

    nothing, printed = run()
    assert nothing == both
    assert "| 2 |" not in printed
    assert [line.partition(":")[0] for line in printed.splitlines()] == [each["title"] for each in both.values()]


@example({"xnn": [(1.0, 1.0)]})
@given(
    st.dictionaries(
        st.sampled_from(("xnn", "torch")),
        st.lists(st.tuples(st.floats(0.01, 5000), st.floats(0, 1)), min_size=1, max_size=5),
        min_size=1,
    )
)
def test_every_point_lies_within_the_chart(curves):
    about = {"processor": "<one & only>", "threads": 2, "date": "2026-11-30T00:00:00"}
    figures = {
        name: about | {"title": name, "epochs": [{"seconds": s, "accuracy": a} for s, a in sorted(points)]}
        for name, points in curves.items()
    }
    picture = ElementTree.fromstring(to94_chart.chart(figures))
    points = [shape for shape in picture.iter() if shape.tag.endswith("circle")]
    assert len(points) == sum(map(len, curves.values()))
    for point in points:
        assert to94_chart.LEFT <= float(point.get("cx")) <= to94_chart.RIGHT
        assert to94_chart.TOP <= float(point.get("cy")) <= to94_chart.BOTTOM


@given(SEEDS)
def test_the_six_views_are_those_of_xnn(seed):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((5, 5, 2), backend="numpy", seed=seed, dtype="float64")
    images = np.random.default_rng(seed).standard_normal((4, 5, 5, 2))

    def network(x):
        return torch.from_numpy(model(np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())))

    views = record_torch.six_views(network, torch.from_numpy(images).permute(0, 3, 1, 2))
    np.testing.assert_allclose(views.numpy(), predictor(model, 6)(images), rtol=1e-12, atol=1e-12)


@given(SEEDS, st.integers(1, 7), st.integers(1, 7))
def test_an_epoch_has_each_image_once_mirrored_in_every_other_epoch(seed, count, size):
    torch.manual_seed(seed)
    # Of this size no window looks like one of the mirrored image.
    images = torch.rand(count, 3, 7, 7)
    batches = record_torch.Batches(images, torch.arange(count), min(size, count))

    def mirrored(epoch):
        """Return whether each image of an epoch was mirrored, having found it among all windows."""
        found = {}
        for x, labels in batches.epoch(epoch):
            for image, label in zip(x, labels.tolist(), strict=True):
                padded = batches.padded[label]
                either = [padded, padded.flip(-1)]
                windows = [
                    [torch.equal(p[:, i : i + 7, j : j + 7], image) for i in range(5) for j in range(5)] for p in either
                ]
                assert [any(each) for each in windows].count(True) == 1
                assert label not in found
                found[label] = any(windows[1])
        assert len(found) == len(batches) * batches.size
        return found

    first, second = mirrored(0), mirrored(1)
    assert all(first[label] != second[label] for label in first.keys() & second.keys())


@given(SEEDS, st.integers(1, 6), st.integers(1, 3))
def test_muon_steps_along_the_nearest_orthogonal_matrix(seed, outputs, inputs):
    torch.manual_seed(seed)
    weight = torch.randn(outputs, inputs, 2, 2)
    weight.grad = torch.randn_like(weight)
    normed = weight * outputs**0.5 / weight.norm()
    gradient = weight.grad.reshape(outputs, -1).clone()
    record_torch.muon(weight, torch.zeros_like(weight), lr=1.0, momentum=0.6, dtype=torch.float32)
    step = (normed - weight).reshape(outputs, -1)
    left, values, right = torch.linalg.svd(gradient, full_matrices=False)
    # In the gradient's own axes the step is diagonal: no direction is swapped for another.
    diagonal = left.T @ step @ right.T
    assert torch.allclose(diagonal, torch.diag(torch.diagonal(diagonal)), atol=1e-3)
    strong = values > 0.1 * values.norm()
    assert torch.all((torch.diagonal(diagonal)[strong] > 0.5) & (torch.diagonal(diagonal)[strong] < 1.5))


def test_rates_fall_to_zero_and_the_first_bias_rests_after_its_epochs():
    torch.manual_seed(0)
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    network = record_torch.Record(images)
    optimizer = record_torch.Optimizer(network, steps=4, first_bias_steps=2)
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    for step in range(4):
        bias, head = network.first.bias.detach().clone(), network.head.weight.detach().clone()
        optimizer.begin_step()
        torch.nn.functional.cross_entropy(network(x), torch.arange(2)).backward()
        optimizer.end_step()
        assert torch.equal(network.first.bias, bias) == (step >= 2)
        assert not torch.equal(network.head.weight, head)
        rates = [group["lr"] for group in optimizer.sgd.param_groups]
        expected = [record_torch.BIAS_LR * max(0, 1 - step / 2), *((1 - step / 4) * lr for lr in (0.053, 0.67))]
        assert rates == pytest.approx(expected)

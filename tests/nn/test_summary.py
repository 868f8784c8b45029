import numpy as np

from xnn import nn


def test_the_numbers_of_lenet():
    """LeNet-5's layers (Y. LeCun et al., 1998), with full connections between feature maps."""
    model = nn.Sequential(
        nn.Conv2d(6, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(120), nn.Tanh(), nn.Linear(84), nn.Tanh(), nn.Linear(10),
    )  # fmt: skip
    summary = model.build((32, 32, 1), backend="numpy").summary()
    by_name = {row.name: row for row in summary.rows}
    assert {name: row.parameters for name, row in by_name.items() if row.parameters} == {
        "0": 156, "3": 2_416, "7": 48_120, "9": 10_164, "11": 850,
    }  # fmt: skip
    # 2 x outputs x taps, by hand: 28*28*6*25, 10*10*16*150, 400*120, 120*84, 84*10.
    assert {name: row.flops for name, row in by_name.items() if row.flops} == {
        "0": 235_200, "3": 480_000, "7": 96_000, "9": 20_160, "11": 1_680,
    }  # fmt: skip
    assert summary.parameters == summary.trainable == 61_706
    assert summary.flops == 833_040
    assert by_name["2"].output_shape == (14, 14, 6)
    assert by_name["6"].output_shape == (400,)
    assert [row.layer for row in summary.rows][:3] == ["Conv2d", "Tanh", "AvgPool2d"]


def test_strides_groups_and_norms_count():
    model = nn.Sequential(nn.Conv2d(8, 3, stride=2, padding=1, groups=4, bias=False), nn.BatchNorm())
    summary = model.build((8, 8, 4), backend="numpy").summary()
    assert [row.parameters for row in summary.rows] == [3 * 3 * 1 * 8, 16]
    assert summary.flops == 2 * 4 * 4 * 8 * 9


def test_layers_inside_containers_have_rows_of_their_own():
    model = nn.Sequential(nn.Residual(nn.Sequential(nn.Linear(4), nn.ReLU())), nn.Parallel(nn.Linear(2), nn.Linear(3)))
    summary = model.build((4,), backend="numpy").summary()
    assert [row.name for row in summary.rows] == ["0.body.0", "0.body.1", "1.0", "1.1"]
    assert summary.parameters == sum(int(np.prod(view.shape)) for view in model.parameters.values())


def test_the_table_shows_it_all():
    model = nn.Sequential(nn.Conv2d(1000, 1), nn.Flatten(), nn.Linear(10)).build((1, 1, 3), backend="numpy")
    model.freeze("0")
    table = str(model.summary())
    lines = table.splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "FLOPs"]
    assert any(line.split() == ["0", "Conv2d", "1", "x", "1", "x", "1000", "4,000", "6,000"] for line in lines)
    assert lines[-1].split() == ["total", "14,010", "26,000", "(4,000", "frozen)"]
    assert model.summary().trainable == 10_010


def test_a_layer_alone_has_a_summary():
    (row,) = nn.Linear(3).build((2,), backend="numpy").summary().rows
    assert (row.name, row.layer, row.output_shape, row.parameters, row.flops) == ("model", "Linear", (3,), 9, 12)

"""The chart of xnn beside PyTorch."""

import json
from xml.etree import ElementTree

import pytest

from benchmarks import chart


def test_the_chart_draws_each_ratio_on_its_side_of_one(tmp_path):
    figures, picture = tmp_path / "peers.json", tmp_path / "peers.svg"
    task = {"kind": "training", "batch": 1}
    ratios = {"a <b>": 2.0, "c": 0.5, "d": 1.0, "scikit-learn alone": None}
    rows = [{"network": name, "ratio": ratio, **task} for name, ratio in ratios.items()]
    about = {"processor": "AMD & Co", "threads": 2, "date": "2026-11-29T14:12:00+00:00"}
    figures.write_text(json.dumps({**about, "rows": rows}), encoding="utf-8")
    chart.main([str(figures), str(picture)])

    svg = ElementTree.parse(picture).getroot()
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    caption = "AMD & Co, 2 threads, 2026-11-29; number: batch size"
    assert {"a <b>", "c", "d", "2.00", "0.50", "1.00", caption} <= {*texts}
    assert "scikit-learn alone" not in texts
    faster, slower, equal = (bar.attrib for bar in svg.iter() if bar.get("class") in ("faster", "slower"))
    (one,) = (float(line.get("x1")) for line in svg.iter() if line.get("class") == "one")
    assert (faster["class"], slower["class"]) == ("faster", "slower")
    # As long on the one side as on the other: the scale is logarithmic.
    assert float(faster["x"]) == pytest.approx(one)
    assert float(slower["x"]) + float(slower["width"]) == pytest.approx(one)
    assert float(faster["width"]) == pytest.approx(float(slower["width"]))
    assert float(equal["width"]) == 0 < float(faster["width"])


def test_the_chart_asks_for_pytorch(tmp_path, capsys):
    figures = tmp_path / "peers.json"
    figures.write_text(json.dumps({"rows": [{"network": "speed", "ratio": None}]}), encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        chart.main([str(figures), str(tmp_path / "peers.svg")])
    assert "run benchmarks.peers with torch among its --peers" in capsys.readouterr().err

"""The classes' table and the calibration's chart say what the answers say."""

import re

import numpy as np
from hypothesis import given

from tests.reporting.reader import Reader
from tests.reporting.test_evaluation import evaluations
from xnn.reporting.charts import HEIGHT, WIDTH
from xnn.reporting.classes import calibration, classes


def cells(drawn):
    rows = str(drawn).partition("<tbody>")[2].split("</tr>")
    return [re.findall(r'class="(?:text|number)"[^>]*>([^<]*)</t[hd]>', row) for row in rows]


@given(evaluations())
def test_each_class_has_its_scores_and_the_last_row_their_means(answers):
    drawn = classes(answers)
    Reader(str(drawn))
    rows = cells(drawn)
    for place, name in enumerate(answers.classes):
        shares = [getattr(answers.scores, score)[place] for score in ("precision", "recall", "f1")]
        told = ["-" if np.isnan(share) else f"{100 * share:.2f}" for share in shares]
        assert rows[place] == [name, *told, f"{answers.totals[place]:,}"]
    means = [f"{100 * answers.scores.macro(score):.2f}" for score in ("precision", "recall", "f1")]
    assert rows[len(answers.classes)] == ["mean over classes", *means, f"{answers.images:,}"]


@given(evaluations())
def test_the_curve_has_a_point_for_each_bin_with_images(answers):
    found, drawn = answers.calibration, calibration(answers)
    Reader(str(drawn))
    filled = int(np.sum(found.images > 0))
    assert len(re.findall('<circle class="dot train"', drawn)) == filled
    for x, y in re.findall(r'<circle[^>]*cx="([\d.]+)" cy="([\d.]+)"', drawn):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT
    assert f"Expected calibration error: {100 * found.error:.2f} %" in drawn
    rows = [row for row in cells(drawn) if row]
    assert [int(row[1].replace(",", "")) for row in rows] == found.images[found.images > 0].tolist()

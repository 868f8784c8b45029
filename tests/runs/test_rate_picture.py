import io

import numpy as np
import pytest
from PIL import Image

from xnn.runs import rate_picture
from xnn.training import RangeTest


@pytest.mark.parametrize("suggested", [None, 1e-2])
@pytest.mark.parametrize("used", [None, 0.1])
def test_a_picture_with_or_without_rates(suggested, used):
    rates = np.geomspace(1e-6, 10, 30).tolist()
    losses = [2.0] * 10 + np.linspace(2.0, 0.5, 15).tolist() + [1.0, 5.0, 50.0, 500.0, 1e9]
    with Image.open(io.BytesIO(rate_picture.draw(RangeTest(rates, losses, losses, suggested), used=used))) as image:
        assert image.size == (840, 540)
        shown = np.asarray(image.convert("RGB")).reshape(-1, 3)
    orange = (np.abs(shown.astype(int) - [0xD9, 0x62, 0x2B]).max(axis=1) < 8).any()
    assert orange == (suggested is not None)

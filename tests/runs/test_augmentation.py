"""What a run changes in its training images."""

import pytest

from xnn import data
from xnn.runs import Settings
from xnn.runs.assembly import prepare


@pytest.mark.parametrize(
    ("names", "mix"),
    [
        (("none",), None),
        (("flip", "mixup"), data.MixUp(0.3)),
        (("cutmix", "shift"), data.CutMix(2.0)),
        (("cutmix", "mixup"), data.RandomChoice((data.MixUp(0.3), data.CutMix(2.0)))),
    ],
)
def test_what_mixes_batches_is_apart_from_what_changes_images(names, mix):
    alphas = {f"{name}_alpha": alpha for name, alpha in (("mixup", 0.3), ("cutmix", 2.0)) if name in names}
    job = prepare(Settings(model="mlp", hidden=2, augment=names, backend="numpy", **alphas))
    assert (job.train.mix, job.train.classes) == (mix, 10)
    assert (job.held_out.mix, job.test.mix) == (None, None)
    others = [name for name in names if name not in ("none", "mixup", "cutmix")]
    assert len(job.train.augment.augmentations if job.train.augment else ()) == len(others)


def test_settings_from_before_there_was_mixing_have_none():
    old = Settings(model="mlp", hidden=2).to_dict()
    del old["mixup_alpha"], old["cutmix_alpha"]
    assert prepare(Settings.from_dict(old)).train.mix is None

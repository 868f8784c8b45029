"""Settings that do not go together, or not with the data."""

import pytest

from xnn.errors import SettingError
from xnn.runs import Settings
from xnn.runs.assembly import prepare


@pytest.mark.parametrize(
    ("options", "flag"), [({"early_stopping": 3}, "--early-stopping 3"), ({"keep_best": True}, "--keep-best")]
)
def test_the_test_set_never_chooses(options, flag):
    with pytest.raises(SettingError, match=f"^{flag}: needs --validation, or the test set would choose"):
        prepare(Settings(backend="numpy", **options))


@pytest.mark.parametrize(("name", "others"), [("mixup", "cutmix"), ("cutmix", "flip")])
def test_an_alpha_of_what_is_not_done_is_refused(name, others):
    with pytest.raises(SettingError, match=f"^--{name}-alpha 0.5: needs {name} in --augment$"):
        prepare(Settings(model="mlp", augment=(others,), backend="numpy", **{f"{name}_alpha": 0.5}))

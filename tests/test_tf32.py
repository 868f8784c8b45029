"""Who chooses TF32: the flags are set for the time of a context, and put back as they were."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from xnn import _tf32, nn, optim
from xnn import backends as xnn_backends
from xnn.training import Trainer


def old_torch():
    """The flags of PyTorch before 2.9."""
    return SimpleNamespace(
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False)), cudnn=SimpleNamespace(allow_tf32=True)
    )


def of_old_torch(backends):
    return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32


def new_torch():
    conv, matmul = SimpleNamespace(fp32_precision="tf32"), SimpleNamespace(fp32_precision="none")
    return SimpleNamespace(cuda=SimpleNamespace(matmul=matmul), cudnn=SimpleNamespace(conv=conv))


def of_new_torch(backends):
    return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision


class Linalg:
    """What CuPy's module of linear algebra has."""

    COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_PEDANTIC, COMPUTE_TYPE_TF32 = 1, 2, 7

    def __init__(self):
        self.types = {"float32": self.COMPUTE_TYPE_PEDANTIC}

    def get_compute_type(self, dtype):
        return self.types[dtype]

    def set_compute_type(self, dtype, value):
        self.types[dtype] = value


CASES = {
    "old torch": (_tf32.torch_products, old_torch(), of_old_torch, (True, True), (False, False)),
    "new torch": (_tf32.torch_products, new_torch(), of_new_torch, ("tf32", "tf32"), ("ieee", "ieee")),
    "cupy": (_tf32.cupy_products, Linalg(), lambda linalg: linalg.types["float32"], 7, 1),
}


@pytest.mark.parametrize(("make", "library", "read", "allowed", "forbidden"), CASES.values(), ids=CASES)
def test_flags_are_set_and_put_back(make, library, read, allowed, forbidden):
    products, before = make(library), read(library)
    for tf32, expected in ((True, allowed), (False, forbidden)):
        with products(tf32):
            assert read(library) == expected
        assert read(library) == before
        with pytest.raises(KeyError), products(tf32):
            raise KeyError
        assert read(library) == before


@pytest.mark.filterwarnings("error")
def test_the_installed_torch_has_the_flags():
    torch = pytest.importorskip("torch")
    matmul = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
    products = _tf32.torch_products(torch.backends)
    values = []
    for tf32 in (True, False):
        with products(tf32):
            values.append(getattr(matmul, name))
    assert values in (["tf32", "ieee"], [True, False])


@pytest.mark.parametrize(
    ("kind", "capability", "has"),
    [("cuda", (8, 0), True), ("cuda", (9, 0), True), ("cuda", (7, 5), False), ("cpu", (9, 0), False)],
)
def test_only_devices_that_can_have_it(kind, capability, has):
    torch = SimpleNamespace(cuda=SimpleNamespace(get_device_capability=lambda device: capability), backends=old_torch())
    assert (_tf32.of_torch(torch, SimpleNamespace(type=kind)) is not None) == has


def test_older_devices_of_cupy_have_none():
    assert _tf32.of_cupy("75") is None


def recording(log):
    """A backend on NumPy that notes when TF32 is chosen."""

    @contextmanager
    def products(tf32):
        log.append(tf32)
        yield
        log.append("end")

    import array_api_compat.numpy as xp

    return xnn_backends.Backend("numpy", None, xp, "cpu", make_products=lambda: products)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_a_model_computes_as_its_precision_says(precision):
    log = []
    backend = recording(log)
    assert backend.precisions == ("float32", "tf32", "float16")
    model = nn.Sequential(nn.Linear(3)).build((4,), backend=backend, precision=precision)
    model(np.ones((2, 4), np.float32))
    assert log == [precision == "tf32", "end"]
    log.clear()
    Trainer(model, optim.SGD(model, 0.1)).fit((np.ones((6, 4)), np.zeros(6, int)), epochs=2)
    assert log == [precision == "tf32", "end"]
    assert model.parameters.flat.dtype == np.float32


def test_a_backend_without_a_choice_leaves_everything(backend):
    if backend.has_tf32:
        pytest.skip("this backend has TF32")
    assert "tf32" not in backend.precisions
    with backend.products(True):
        pass

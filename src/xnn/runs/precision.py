"""Which precision a backend offers to a run."""

from xnn.backends import Backend
from xnn.errors import SettingError
from xnn.kernels import precisions


def check_precision(precision: str, backend: Backend) -> None:
    """Raise a `SettingError` unless a backend offers the precision."""
    offered = precisions(backend)
    if precision in offered:
        return
    advice = f"choose one of {', '.join(offered)}" if len(offered) > 1 else "leave it out"
    places = {
        "tf32": "--backend numpy, or a CUDA device of compute capability 8.0 or more",
        "bfloat16": "--backend torch",
    }
    raise SettingError(
        f"--precision {precision}: {backend.name} does not offer it; {advice}, "
        f"or use {places.get(precision, '--backend numpy, cupy or torch')}"
    )


def offered_precision(precision: str, backend: Backend) -> str:
    """Return a recipe's precision, or float32 where a backend does not offer it."""
    return precision if precision in precisions(backend) else "float32"

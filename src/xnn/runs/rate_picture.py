"""lr.png: the loss against the learning rate."""

import io

from xnn.training.plotting import FAINT, HELD_OUT, INK, TRAIN, needs_logarithm, plain_figure
from xnn.training.rate_finder import RangeTest


def draw(found: RangeTest, *, used: float | None = None) -> bytes:
    """Return the picture of a range test, as the bytes of a PNG file.

    Parameters
    ----------
    found
        What is drawn.
    used
        The learning rate that training would use, shown beside the suggested one.
    """
    with plain_figure((7.0, 4.5)) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.plot(found.rates, found.losses, color=FAINT, linewidth=1.0, label="of each step")
        axes.plot(found.rates, found.smoothed, color=TRAIN, linewidth=2.0, label="mean of neighbours")
        for rate, color, name in ((found.suggested, HELD_OUT, "suggested"), (used, INK, "of the settings")):
            if rate is not None:
                axes.axvline(rate, color=color, linewidth=1.2, linestyle="--", label=f"{name}: {rate:.3g}")
        if needs_logarithm(found.smoothed):
            axes.set_yscale("log")
        # What comes after the lowest loss may be far above all else.
        highest = max(found.smoothed[: found.smoothed.index(min(found.smoothed)) + 1])
        axes.set_ylim(top=min(1.5 * highest, max(found.losses) * 1.05))
        axes.set_xlabel("learning rate", color=INK)
        axes.set_ylabel("training loss", color=INK)
        axes.tick_params(colors=INK, labelsize=9)
        axes.grid(color="#e6e6e6", linewidth=0.8)
        axes.legend(frameon=False, fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()

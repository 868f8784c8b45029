"""Looking at runs that were made: tables, pages, predictions and comparisons.

Nothing here writes into a run directory unless it is asked to, so a run may be looked at while it is under way.
"""

from xnn.reporting.evaluation import Evaluation, evaluate
from xnn.reporting.page import write_page
from xnn.reporting.saved import SavedModel, SavedRun, load_model
from xnn.reporting.shown import Shown, look_at
from xnn.reporting.table import markdown

__all__ = [
    "Evaluation",
    "SavedModel",
    "SavedRun",
    "Shown",
    "evaluate",
    "load_model",
    "look_at",
    "markdown",
    "write_page",
]

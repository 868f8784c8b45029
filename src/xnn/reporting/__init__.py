"""Looking at runs: tables, pages and predictions.

Nothing here writes into a run directory unless asked to, so you may look at a run while it is in progress.
"""

from xnn.reporting.contents import Contents, contents_of
from xnn.reporting.evaluation import Evaluation, evaluate
from xnn.reporting.page import write_page
from xnn.reporting.saved import SavedModel, SavedRun, load_model
from xnn.reporting.table import markdown

__all__ = [
    "Contents",
    "Evaluation",
    "SavedModel",
    "SavedRun",
    "contents_of",
    "evaluate",
    "load_model",
    "markdown",
    "write_page",
]

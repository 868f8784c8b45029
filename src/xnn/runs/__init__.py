"""A run on disk: its settings, its directory and its checkpoints, and how to resume from them."""

from xnn.runs.saving import Checkpoint, JsonLines
from xnn.runs.settings import Settings

__all__ = ["Checkpoint", "JsonLines", "Settings"]

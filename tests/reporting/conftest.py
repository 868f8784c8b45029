"""Fixtures of this folder."""

from tests.reporting.runs import finished, of_folder, shown

__all__ = ["finished", "of_folder", "shown"]

"""Fixtures of this folder."""

from tests.reporting.runs import finished, shown

__all__ = ["finished", "shown"]

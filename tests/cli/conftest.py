"""Fixtures of this folder."""

from tests.reporting.runs import finished

__all__ = ["finished"]

"""The version, kept here alone: the package, the wheel and the run directories read it."""

__version__ = "0.1.0"

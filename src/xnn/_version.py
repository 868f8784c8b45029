"""The version, kept only here: the package, the wheel and the run directories read it."""

__version__ = "0.1.0"

"""Tests of `xnn.optim`."""

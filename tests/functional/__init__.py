"""Tests of `xnn.functional`."""

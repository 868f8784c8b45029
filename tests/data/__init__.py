"""Tests of `xnn.data`."""

"""Tests of `xnn.testing`."""

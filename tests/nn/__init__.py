"""Tests of `xnn.nn`."""

"""Measurements to run by hand, as in ``python -m benchmarks.peers``; the tests check that they run, not how fast."""

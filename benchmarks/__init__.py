"""Measurements, run by hand, as in ``python -m benchmarks.peers``; the tests see to it that they run, not how fast."""

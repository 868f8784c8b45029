"""Measurements. Each is run by hand, as in ``python -m benchmarks.peers``; none is part of the tests."""

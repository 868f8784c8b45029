"""Twins for NumPy: loops compiled by Numba, products computed by NumPy's BLAS, the batch spread over threads."""

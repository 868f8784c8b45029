"""Twins for NumPy: loops compiled by Numba, products by its BLAS, and the batch spread over threads."""

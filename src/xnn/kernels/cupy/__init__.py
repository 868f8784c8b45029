"""Twins for CuPy: CUDA C++ in the `.cu` files beside this one, and the functions that launch it.

Every sum is in float32 or wider whatever the type of the numbers, and in a fixed order, so that a run repeats itself
bit for bit. No twin waits for the device or reads from it.
"""

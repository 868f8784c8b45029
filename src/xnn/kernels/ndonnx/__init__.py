"""Twins for ndonnx, whose arrays record an ONNX graph instead of computing: each makes ONNX's own operators.

The references would do where the length of the batch is not asked for, but their graphs are longer, and slower to run.
A recorded graph is for inference: no twin here has a pullback.
"""

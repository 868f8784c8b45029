"""ONNX's operators, in the version that graphs are recorded in."""

import importlib
from typing import Any

op: Any = importlib.import_module("spox.opset.ai.onnx.v21")
"""Spox's module of them: a function for each. It does not list those that it has from its earlier versions."""

"""Models as files for other programs: ONNX, by way of one more array library, ndonnx, whose arrays record a graph."""

from xnn.exporting.files import Exported, export_onnx
from xnn.exporting.opsets import OLDEST_OPSET, OPSET

__all__ = ["OLDEST_OPSET", "OPSET", "Exported", "export_onnx"]

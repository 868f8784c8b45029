"""The versions of ONNX's operators that a file may be written in."""

import warnings
from typing import Any

OPSET = 21
"""The version that is written by default, and that the graphs are recorded in: ONNX 1.16, of 2024."""
OLDEST_OPSET = 18
"""The oldest one that is offered: ONNX 1.13, of 2022."""

_SINCE = {"Gelu": 20}
"""Operators that are written out where the version is older than they are."""
_ATTRIBUTES = {"Cast": {"saturate": 19}}
"""Attributes that older versions do not have, and that make no difference here: this one is for casts to float8."""


def newest_opset() -> int:
    """Return the newest version that the installed package of ONNX knows."""
    from onnx.defs import onnx_opset_version

    return int(onnx_opset_version())


def check_opset(opset: Any) -> None:
    """Raise ValueError unless files can be written in that version."""
    newest = newest_opset()
    if not isinstance(opset, int) or isinstance(opset, bool) or not OLDEST_OPSET <= opset <= newest:
        raise ValueError(f"opset must be a whole number from {OLDEST_OPSET} to {newest}, not {opset!r}")


def converted(proto: Any, opset: int) -> Any:
    """Return a model in another version of the operators, and in the oldest form of file that has this version."""
    from onnx import helper, inliner, version_converter

    newer = [("", name) for name, since in _SINCE.items() if opset < since]
    if newer:
        proto = inliner.inline_selected_functions(proto, newer, inline_schema_functions=True)
    if opset != OPSET:
        proto = version_converter.convert_version(proto, opset)
    for node in proto.graph.node:
        since = _ATTRIBUTES.get(node.op_type, {})
        kept = [attribute for attribute in node.attribute if opset >= since.get(attribute.name, opset)]
        if len(kept) < len(node.attribute):
            del node.attribute[:]
            node.attribute.extend(kept)
    with warnings.catch_warnings():
        # Of a version that is newer than the table of forms it takes the newest form.
        warnings.simplefilter("ignore", UserWarning)
        proto.ir_version = helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
    return proto

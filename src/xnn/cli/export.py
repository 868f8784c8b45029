"""``xnn-export``: a trained model as a file for other programs."""

import argparse
import sys
from collections.abc import Sequence

from xnn.cli.arguments import Parser
from xnn.cli.frame import guarded, say
from xnn.errors import SettingError
from xnn.texts import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `xnn.cli.frame.guarded`."""
    return guarded("xnn-export", lambda: _run(_parser().parse_args(argv)))


def _parser() -> Parser:
    parser = Parser(
        prog="xnn-export",
        description="Write a run's model as an ONNX file: images of uint8 in, probabilities out. Normalization, test "
        "views and the names of the classes are in it.",
    )
    parser.add_argument("run", metavar="RUN_DIR", help="a directory that xnn-train wrote")
    parser.add_argument("path", metavar="FILE", help="the file to write, such as model.onnx")
    parser.add_argument("--opset", metavar="N", help="the version of ONNX's operators, 18 or newer (default: 21)")
    return parser


def _run(given: argparse.Namespace) -> None:
    # Imported only now: they load what computes, which --help and a mistyped flag do not need.
    from xnn.exporting.files import export_onnx
    from xnn.exporting.graphs import check_packages
    from xnn.exporting.opsets import OLDEST_OPSET, OPSET, newest_opset
    from xnn.reporting.saved import load_model

    check_packages()
    opset = OPSET if given.opset is None else _whole(given.opset)
    if not OLDEST_OPSET <= opset <= newest_opset():
        raise SettingError(f"--opset {given.opset}: expected a whole number from {OLDEST_OPSET} to {newest_opset()}")
    saved = load_model(given.run, "numpy")
    if saved.moment is not None:
        print(
            f"xnn-export: {printable(given.run)} is not complete: its model is as it was {saved.moment}",
            file=sys.stderr,
        )
    written = export_onnx(saved, given.path, opset=opset)
    shapes = [", ".join(map(str, ("batch", *shape))) for shape in (written.input_shape, written.output_shape)]
    say(f"wrote {written.path}: {written.size:,} bytes, opset {written.opset}")
    say(f"  input   {written.input} ({shapes[0]}) of {written.input_dtype}")
    mean = "" if written.views == 1 else f", the mean over {written.views} views of each image, as the run was judged"
    say(f"  output  {written.output} ({shapes[1]}) of float32{mean}")


def _whole(text: str) -> int:
    """Return the number that a text is, or one that no version has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else -1


if __name__ == "__main__":
    sys.exit(main())

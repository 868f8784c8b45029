"""``xnn-compare``: the same network on the same data, trained by xnn and by scikit-learn."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from functools import partial

from xnn.cli.arguments import Parser, add_option, read_option
from xnn.cli.frame import guarded, make_console
from xnn.runs.settings import Settings

FLAGS = (
    *("dataset", "data_dir", "labels", "model", "hidden", "threads"),
    *("epochs", "batch_size", "lr", "optimizer", "momentum", "l2", "seed"),
)
"""The settings of xnn-train that scikit-learn supports."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for bad input, 3 if training diverged."""
    return guarded("xnn-compare", lambda: _run(_parser().parse_args(argv)))


def _parser() -> Parser:
    parser = Parser(
        prog="xnn-compare",
        description="Train the plain network of --model (linear layers and ReLU) with xnn and with scikit-learn's "
        "MLPClassifier, on the same data with the same settings, and show accuracy and seconds.",
        argument_default=argparse.SUPPRESS,
    )
    group = parser.add_argument_group("settings, as for xnn-train")
    for name in FLAGS:
        if name == "model":
            group.add_argument("--model", metavar="NAME", help="mlp (default) or lab6 (one hidden layer)")
        elif name == "optimizer":
            group.add_argument("--optimizer", metavar="NAME", help="sgd, adam (default for mlp: adam; for lab6: sgd)")
        else:
            add_option(group, name)
    parser.add_argument("--json", action="store_true", default=False, help="print JSON")
    parser.add_argument("--markdown", action="store_true", default=False, help="print the table as Markdown")
    return parser


def _run(given: argparse.Namespace) -> None:
    # Imported only now: they load libraries that compute and print, which --help and a mistyped flag do not need.
    from xnn.runs.beside_sklearn import COLUMNS, cells_of, compare, markdown
    from xnn.runs.progress import table
    from xnn.training.progress import print_line

    chosen = {name: read_option(name, value) for name, value in vars(given).items() if name in FLAGS}
    console = make_console()
    report = None if given.json or given.markdown else partial(print_line, console)
    entrants = compare(Settings(**({"model": "mlp"} | chosen)), report)
    if given.json:
        print(json.dumps([dataclasses.asdict(entrant) for entrant in entrants], indent=2))
        return
    if given.markdown:
        sys.stdout.write(markdown(entrants))
        return
    if not console.is_terminal:
        console.width = 120
    console.print(table(COLUMNS, map(cells_of, entrants), left=COLUMNS[:2]))


if __name__ == "__main__":
    sys.exit(main())

"""``xnn-report``: a table over runs, and a page that shows them."""

import argparse
import sys
from collections.abc import Sequence

from xnn.cli.arguments import Parser
from xnn.cli.frame import guarded, make_console, say
from xnn.errors import RunError, SettingError

PAGE = "report.html"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `xnn.cli.frame.guarded`."""
    return guarded("xnn-report", lambda: _run(_parser().parse_args(argv)))


def _parser() -> Parser:
    parser = Parser(
        prog="xnn-report",
        description="Show finished runs: a table here, and a page with curves, confusion matrix, scores of each "
        "class, calibration, mistakes, training images, filters and layers.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="a directory that xnn-train wrote")
    parser.add_argument(
        "--markdown", metavar="FILE", help="also write the table as Markdown; - prints it, and nothing else"
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        help=f"write one page that compares all the runs (default: {PAGE} in each run directory)",
    )
    parser.add_argument("--no-html", action="store_true", help="write no page, only the table, which needs no data")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data set's files are, if they have moved")
    parser.add_argument(
        "--download", action="store_true", help="download the data set if it is missing (default: never)"
    )
    parser.add_argument("--backend", metavar="NAME", help="as for xnn-train")
    return parser


def _run(given: argparse.Namespace) -> None:
    # Imported only now: they load libraries that compute, draw and print, which --help and a mistyped flag don't need.
    from xnn.files import write_atomically
    from xnn.paths import expanded
    from xnn.reporting.contents import contents_of
    from xnn.reporting.page import write_page
    from xnn.reporting.saved import SavedRun
    from xnn.reporting.table import markdown, print_table
    from xnn.texts import printable

    def tell(line: str) -> None:
        print(printable(line), file=sys.stderr)

    if given.no_html and given.html is not None:
        raise SettingError("--html: not together with --no-html")
    together = None if given.html is None else expanded(given.html, "--html", RunError)
    console = make_console()
    runs = [SavedRun.open(path) for path in given.runs]
    if given.markdown == "-":
        for line in markdown(runs).splitlines():
            say(line)
    else:
        print_table(console, runs)
    written = []
    if given.markdown not in (None, "-"):
        written.append(expanded(given.markdown, "--markdown", RunError))
        write_atomically(written[-1], markdown(runs).encode())
    if not given.no_html:
        shown = [contents_of(run, data_dir=given.data_dir, download=given.download, on=given.backend) for run in runs]
        for part in shown:
            if part.missing is not None:
                mend = "--data-dir DIR says where it is, --download fetches it"
                lacking = f"the page lacks the parts that need the data set: {part.missing} ({mend})"
                tell(f"xnn-report: {part.run.path}: {lacking}")
        each = [(part.run.path / PAGE, [part]) for part in shown]
        pages = each if together is None else [(together, shown)]
        if len(pages) > 1:
            tell("xnn-report: each run gets a page of its own; --html FILE writes one that compares them")
        for path, parts in pages:
            write_page(path, parts)
            written.append(path)
    # If standard output should have only the table, the names go elsewhere.
    announce = tell if given.markdown == "-" else say
    for path in written:
        announce(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())

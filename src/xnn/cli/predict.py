"""``xnn-predict``: what a trained model sees in a picture, or how good it is on a data set."""

import argparse
import csv
import io
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from xnn.cli.arguments import Parser
from xnn.cli.frame import BAR, MOST_OF_ERROR, guarded, say
from xnn.errors import DataError, SettingError
from xnn.texts import printable

if TYPE_CHECKING:
    from xnn.reporting.answers import Answer
    from xnn.reporting.evaluation import Evaluation
    from xnn.reporting.saved import SavedModel

_WIDTH = 24


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `xnn.cli.frame.guarded`."""
    return guarded("xnn-predict", lambda: _run(_parser().parse_args(argv)))


def _parser() -> Parser:
    parser = Parser(
        prog="xnn-predict",
        usage="%(prog)s RUN_DIR IMAGE... [--top K] [--invert] [--csv | --json]\n"
        "       %(prog)s RUN_DIR --dataset NAME [--data-dir DIR] [--split NAME] [--json]",
        description="Say what pictures show, or evaluate a run's model on a data set.",
    )
    parser.add_argument("run", metavar="RUN_DIR", help="a directory that xnn-train wrote")
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="picture files of any size, folders of them, or - for a list on standard input",
    )
    parser.add_argument("--top", metavar="K", default="3", help="how many classes to name (default: 3)")
    parser.add_argument(
        "--invert",
        action="store_true",
        help="swap light and dark: for ink on paper, if the model learned light on dark",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="evaluate on this data set, named as for xnn-train and downloaded if it is missing",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where its files are (default: where the run's own are)")
    parser.add_argument("--labels", metavar="NAME", help="which labels of cifar100 (default: those of the run)")
    parser.add_argument("--split", metavar="NAME", default="test", help="which images of it: test (default) or train")
    parser.add_argument("--backend", metavar="NAME", help="as for xnn-train")
    parser.add_argument("--csv", action="store_true", help="print a line of comma-separated values for each picture")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _run(given: argparse.Namespace) -> None:
    top = _checked(given)
    # Imported only now: they load what computes, which --help and a mistyped flag do not need.
    from xnn.reporting.saved import load_model

    saved = load_model(given.run, given.backend)
    if saved.moment is not None:
        print(
            f"xnn-predict: {printable(given.run)} is not complete: its model is as it was {saved.moment}",
            file=sys.stderr,
        )
    if given.dataset is None:
        _predict(given, saved, top)
    else:
        _evaluate(given, saved)


def _checked(given: argparse.Namespace) -> int:
    """Refuse arguments that do not go together; return the number of classes to name."""
    if given.dataset is None and not given.images:
        raise SettingError("expected one IMAGE or more after RUN_DIR, or --dataset NAME")
    if given.dataset is not None and given.images:
        raise SettingError(f"--dataset {given.dataset}: not together with pictures such as {given.images[0]}")
    if given.csv and (given.json or given.dataset is not None):
        raise SettingError(f"--csv: not together with {'--json' if given.json else '--dataset'}")
    for name in ("data_dir", "labels"):
        if given.dataset is None and getattr(given, name) is not None:
            raise SettingError(f"--{name.replace('_', '-')}: only together with --dataset")
    if given.split not in ("test", "train"):
        raise SettingError(f"--split {given.split}: expected test or train")
    if not given.top.isascii() or not given.top.isdigit() or int(given.top) < 1:
        raise SettingError(f"--top {given.top}: expected a whole number, 1 or more")
    return int(given.top)


def _predict(given: argparse.Namespace, saved: "SavedModel", top: int) -> None:
    from xnn.reporting.answers import answers, pictures_named

    tally = _Tally(given.images)
    paths = pictures_named(given.images, tally.refuse, getattr(sys.stdin, "buffer", None))
    batches = tally.counted(answers(saved, paths, top, tally.refuse, invert=given.invert))
    if given.csv:
        _print_csv(batches, saved, top)
    elif given.json:
        _print_json(batches, saved)
    else:
        _print_bars(batches, saved)
    tally.complain()


class _Tally:
    """Counts the answers, and names and counts the pictures that have none."""

    def __init__(self, images: list[str]) -> None:
        self._images = images
        self._answered = self._refused = 0

    def counted(self, batches: "Iterable[list[Answer]]") -> "Iterator[list[Answer]]":
        """Give the answers, as long as somebody reads what is printed of them."""
        for batch in batches:
            self._answered += len(batch)
            yield batch
            sys.stdout.flush()
            if getattr(sys.stdout, "lost", None) is not None:
                return

    def refuse(self, path: str, error: DataError) -> None:
        """Print what is wrong with a picture; raise it if no other was asked for."""
        if self._images == [path]:
            raise error
        self._refused += 1
        print(printable(f"xnn-predict: {error}", MOST_OF_ERROR), file=sys.stderr)

    def complain(self) -> None:
        """Raise a `DataError` if some have no answer."""
        if self._refused:
            raise DataError(f"{self._refused:,} of {self._answered + self._refused:,} pictures could not be read")


def _print_bars(batches: "Iterable[list[Answer]]", saved: "SavedModel") -> None:
    from xnn.reporting.values import short

    for batch in batches:
        names = {i: short(saved.classes[i]) for answer in batch for i, _ in answer.top}
        width = max(map(len, names.values()))
        for answer in batch:
            say(answer.image)
            for i, p in answer.top:
                say(f"  {names[i].ljust(width)}  {100 * p:6.2f} %  {BAR * round(_WIDTH * p)}".rstrip())


def _print_json(batches: "Iterable[list[Answer]]", saved: "SavedModel") -> None:
    """Print one document, piece by piece."""
    before = "[\n"
    for batch in batches:
        for answer in batch:
            top = [{"class": saved.classes[i], "index": i, "probability": p} for i, p in answer.top]
            text = json.dumps({"image": answer.image, "top": top}, indent=2)
            print(before + textwrap.indent(text, "  "), end="")
            before = ",\n"
    print("[]" if before == "[\n" else "\n]")


def _print_csv(batches: "Iterable[list[Answer]]", saved: "SavedModel", top: int) -> None:
    """Print a line for each picture, below a header."""
    columns = ["image"]
    for number in range(1, min(top, len(saved.classes)) + 1):
        columns += [f"class_{number}", f"probability_{number}"]
    is_new = True
    for batch in chain(batches, [[]]):  # the header stands even above nothing
        for row in [columns] * is_new + [[answer.image, *_cells(answer, saved)] for answer in batch]:
            say(_csv_line(row))
        is_new = False


def _cells(answer: "Answer", saved: "SavedModel") -> list[str]:
    return [text for i, p in answer.top for text in (saved.classes[i], repr(p))]


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(map(printable, cells))
    return line.getvalue()


def _evaluate(given: argparse.Namespace, saved: "SavedModel") -> None:
    from xnn.data import load
    from xnn.data.sources import may_be_scaled
    from xnn.paths import expanded
    from xnn.reporting.contents import place_of_data
    from xnn.reporting.evaluation import evaluate, in_classes_of
    from xnn.reporting.saved import SavedRun

    settings = SavedRun.open(given.run).settings
    # A run has the absolute path of a folder.
    path = expanded(given.dataset, "dataset", DataError).absolute()
    same = settings.dataset in (given.dataset, str(path))
    labels = given.labels or (settings.labels if given.dataset == "cifar100" else "fine")
    # Downloaded if it is missing: whoever names a data set here asks for it, as with xnn-train.
    place = given.data_dir or (place_of_data(settings) if same else None)
    # Pictures are made as large as the model wants them, as single ones are.
    height, width, _ = saved.image_shape
    size = height if height == width and may_be_scaled(given.dataset) else None
    skip_bad = same and settings.skip_bad
    dataset = load(given.dataset, data_dir=place, labels=labels, image_size=size, skip_bad=skip_bad)
    if same and not saved.knows_test_images(dataset):
        raise DataError(
            f"--dataset {given.dataset}: the version of xnn that made the run tested it on other images of it, and "
            "these were perhaps trained on; name a folder of other images"
        )
    split, note = in_classes_of(saved, dataset, dataset.test if given.split == "test" else dataset.train)
    answers = evaluate(saved, split)
    if note is not None:
        print(f"xnn-predict: {printable(note)}", file=sys.stderr)
    views = saved.settings.test_views or 1
    if given.json:
        print(json.dumps(_as_json(given, answers, views), indent=2))
    else:
        _show(given, answers, views)


def _as_json(given: argparse.Namespace, answers: "Evaluation", views: int) -> dict[str, Any]:
    from xnn.reporting.evaluation import MOST_COUNTED

    return {
        "dataset": given.dataset,
        "split": given.split,
        "images": answers.images,
        "views": views,
        "loss": answers.loss,
        "accuracy": answers.accuracy,
        "top5_accuracy": answers.top5_accuracy,
        "classes": list(answers.classes),
        "confusion": answers.confusion.tolist() if len(answers.classes) <= MOST_COUNTED else None,
    }


def _show(given: argparse.Namespace, answers: "Evaluation", views: int) -> None:
    from xnn.reporting.values import short
    from xnn.training.view_averaging import over_views

    say(over_views(f"{given.dataset}, {answers.images:,} {given.split} images", views))
    say(f"  accuracy  {100 * answers.accuracy:.2f} %")
    if answers.top5_accuracy is not None and len(answers.classes) > 10:
        say(f"  top 5     {100 * answers.top5_accuracy:.2f} %")
    say(f"  loss      {answers.loss:.4f}")
    if len(answers.classes) <= 20:
        say("confusion: rows are what an image is, columns what the model took it for")
        _print_confusion(answers, list(map(short, answers.classes)))
    pairs = answers.frequent_confusions(5)
    if pairs:
        say("most often confused")
    for label, other, count in pairs:
        say(f"  {short(answers.classes[label])} taken for {short(answers.classes[other])}: {count:,}")


def _print_confusion(answers: "Evaluation", names: list[str]) -> None:
    """Print a table with numbered columns and named, numbered rows: names would not fit above the columns."""
    numbers = [str(number) for number in range(len(names))]
    longest = max(map(len, names))
    cells = [[str(count) if count else "." for count in row] for row in answers.confusion.tolist()]
    width = max(len(text) for row in [numbers, *cells] for text in row) + 1
    say(" " * (longest + 6) + "".join(number.rjust(width) for number in numbers))
    for number, name, row in zip(numbers, names, cells, strict=True):
        say(f"  {name.rjust(longest)} {number.rjust(3)}{''.join(cell.rjust(width) for cell in row)}")


if __name__ == "__main__":
    sys.exit(main())

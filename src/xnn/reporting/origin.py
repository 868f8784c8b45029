"""The parts of a page that tell where a run came from: layers, settings, machine, versions, and how to repeat it."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from xnn import nn
from xnn.errors import SettingError
from xnn.reporting.markup import joined, pairs, scrolling, table
from xnn.reporting.saved import SavedRun
from xnn.reporting.values import number, plain, real, short
from xnn.runs.defaults import without_defaults
from xnn.runs.finishing import PLACES
from xnn.runs.settings import Settings
from xnn.tasks import Task


def layers(summary: nn.Summary) -> Markup:
    """Return the table of a model's layers."""
    columns = {"layer": "text", "kind": "text", "output": "text", "parameters": "number", "FLOPs": "number"}
    rows = [["input", "", _shape(summary.input_shape), "", ""]]
    rows += [
        [row.name, row.layer, _shape(row.output_shape), f"{row.parameters:,}", f"{row.flops:,}"] for row in summary.rows
    ]
    frozen = summary.parameters - summary.trainable
    total = ["total", "", "", f"{summary.parameters:,}", f"{summary.flops:,}"]
    note = f", {frozen:,} of them frozen" if frozen else ""
    return Markup(
        "<p>{:,} parameters{}; {:,} floating-point operations in the products of one image's forward pass.</p>{}"
    ).format(summary.parameters, note, summary.flops, scrolling("Layers", table(columns, rows, foot=total)))


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def origin(run: SavedRun, task: Task | None) -> Markup:
    """Return the command that repeats a run, its settings, when and on what it was made."""
    # Pages are passed on, and where things are on somebody's disk is nobody else's concern.
    private = ("data_dir", "run_dir", "quiet")
    settings = {name: v for name, v in _named(run).to_dict().items() if v is not None and name not in private}
    result: Mapping[str, Any] = run.result or {}
    made, versions = _made(result), result.get("versions")
    parts = [_again(run, task), Markup('<p class="title">Settings</p>{}').format(pairs(settings))]
    if made:
        parts.append(Markup('<p class="title">Machine</p>{}').format(pairs(made)))
    if isinstance(versions, dict) and versions:
        where = {"backend": result["backend"]} if "backend" in result else {}
        parts.append(Markup('<p class="title">Versions</p>{}').format(pairs(versions | where)))
    return joined(parts)


def _named(run: SavedRun) -> Settings:
    """Return a run's settings with the names of folders, not where they are."""
    settings, from_ = run.settings, run.settings.from_
    given = {"dataset": short(Path(settings.dataset).name), "from_": None if from_ is None else short(Path(from_).name)}
    return Settings.from_dict(settings.to_dict() | given)


def _again(run: SavedRun, task: Task | None) -> Markup:
    settings = _named(run)
    given = Settings.from_dict(settings.to_dict() | {name: getattr(Settings(), name) for name in PLACES})
    told = "The run again, with the data where it is looked for by default:"
    if task is not None:
        try:
            given = without_defaults(given, task)
            told = f"{told[:-1]}. What is not named, the recipe sets:"
        except SettingError:  # a setting of a damaged or an earlier run
            task = None
    # A name may break across lines, but a flag must not break at its hyphens.
    words = ["xnn-train", *map(shlex.quote, given.to_argv())]
    return Markup("<p>{}</p><pre><code>{}</code></pre>").format(
        told, Markup(" ").join(map(Markup("<span>{}</span>").format, words))
    )


def _made(result: Mapping[str, Any]) -> dict[str, str]:
    """Return what a run recorded of when and on what it was made; runs of earlier versions recorded less."""
    noted = result.get("machine")
    facts: Mapping[str, Any] = noted if isinstance(noted, dict) else {}
    rows = {
        "finished": moment(result),
        "processor": facts.get("processor"),
        "system": facts.get("system"),
        "cores": facts.get("cores"),
        "threads": facts.get("threads"),
        "memory": _memory(facts.get("memory_mib")),
        "most memory used": _memory(result.get("peak_memory_mib")),
        "computed by": facts.get("computed_by"),
        "processes": result.get("ranks"),
    }
    return {name: number(value, "{:,}") for name, value in rows.items() if value is not None}


def moment(result: Mapping[str, Any]) -> str | None:
    """Return when a run ended, in UTC; None if that was not recorded."""
    value = result.get("finished")
    if value is None:
        return None
    text = plain(value)
    known = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d\+00:00", text)
    return f"{known[1]} {known[2]} UTC" if known else text


def _memory(value: Any) -> str | None:
    mib = real(value)
    return None if mib is None else f"{mib / 1024:,.1f} GiB" if mib >= 1024 else f"{mib:,.0f} MiB"

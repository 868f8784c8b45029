"""Cases whose run directory is mutated: what xnn-report, xnn-predict and ``xnn-train --resume`` are handed."""

import json
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.hostile import cases, json_values, tensors
from tests.hostile.cases import CODES, SOUND, Case, Command, Group
from tests.hostile.world import Place
from xnn.data.sources import OFFICIAL

PICTURE = "picture.png"
FETCHED = (*OFFICIAL, "torchvision:MNIST", "torchvision:SVHN")
"""Data sets that are not there, and would come from the net."""


def _placed(place: Place, which: str) -> Path:
    """Put a run into the case, and a picture beside it."""
    place.copy("folder/cats/00.png", PICTURE)
    return place.copy(which)


def _commands(place: Place) -> tuple[Command, ...]:
    folder = str(place.world.part("folder"))
    return (
        cases.report(),
        cases.report(),
        cases.report("--no-html"),
        cases.report("--markdown", "-", "--no-html"),
        cases.predict(PICTURE),
        cases.predict(PICTURE, "--json"),
        cases.evaluate(folder),
        cases.evaluate(folder, "--json"),
    )


def config(place: Place, random: Random | None) -> Case:
    if random is None:
        _placed(place, "stopped")
        return Case("nothing", cases.resume(), SOUND)
    command = random.choice((cases.resume(), cases.resume("--epochs", "3"), *_commands(place)))
    run = _placed(place, "stopped" if command.program == "train" else "run")
    if random.random() < 0.04:
        name = random.choice(FETCHED)
        _configure(run, {"dataset": name})
        return Case(f"config.json: dataset = {name}", command)
    content, told = json_values.document((run / "config.json").read_bytes(), random)
    (run / "config.json").write_bytes(content)
    return Case(f"config.json: {told}", command)


def result(place: Place, random: Random | None) -> Case:
    run = _placed(place, "run")
    if random is None:
        return Case("nothing", cases.report(), SOUND)
    content, told = json_values.document((run / "result.json").read_bytes(), random)
    (run / "result.json").write_bytes(content)
    more = Command("train", ("--resume", "run", *random.choice(((), ("--epochs", "3")))), ("work/run/",))
    return Case(f"result.json: {told}", random.choice((*_commands(place)[:4], more)))


def _rows(name: str, place: Place, random: Random | None) -> Case:
    if random is None:
        _placed(place, "run")
        return Case("nothing", cases.report("--no-html"), SOUND)
    command = random.choice((cases.resume(), cases.resume("--epochs", "3"), *_commands(place)[:4] * 2))
    run = _placed(place, "stopped" if command.program == "train" else "run")
    content, told = json_values.lines((run / name).read_bytes(), random)
    (run / name).write_bytes(content)
    return Case(f"{name}: {told}", command)


def model(place: Place, random: Random | None) -> Case:
    run = _placed(place, "run")
    if random is None:
        return Case("nothing", cases.predict(PICTURE), SOUND)
    content, told = tensors.model((run / "model.safetensors").read_bytes(), random)
    (run / "model.safetensors").write_bytes(content)
    commands = _commands(place)
    return Case(f"model.safetensors: {told}", random.choice((commands[0], *commands[4:])))


def checkpoints(place: Place, random: Random | None) -> Case:
    run = _placed(place, "stopped")
    if random is None:
        return Case("nothing", cases.resume("--epochs", "3"), SOUND)
    files = sorted((run / "checkpoints").iterdir())
    kind = random.random()
    if kind < 0.2:  # it alone
        for path in files[:-1]:
            path.unlink()
        files = files[-1:]
    chosen = files if kind > 0.9 else [random.choice(files)]
    expected, told = SOUND if len(chosen) < len(files) else CODES, ""
    for path in chosen:
        content, told, seen = tensors.checkpoint(path.read_bytes(), random)
        path.write_bytes(content)
        if not seen:
            expected = CODES
        if random.random() < 0.05:
            name = random.choice(("epoch-99999", "x", "\x1b[2J"))
            path.rename(path.with_name(f"{name}.safetensors"))
    more = random.choice(((), (), ("--epochs", "3"), ("--epochs", "1"), ("--dtype", "float64")))
    if more[:2] == ("--epochs", "1"):
        expected = CODES
    told = f"{len(chosen)} of {len(files)} checkpoints: {told}"
    if random.random() < 0.3:
        return Case(told, cases.predict(PICTURE, of="stopped"))
    return Case(told, cases.resume(*more), expected)


def page(place: Place, random: Random | None) -> Case:
    """Markup in each text of a run's files, of which a page is made."""
    run = _placed(place, "run")
    if random is None:
        return Case("nothing", cases.report(), SOUND)
    kind = random.randrange(6)
    markup = random.choice(json_values.MARKUP)
    name = markup.replace("/", "")
    if kind == 0:
        _describe(run, {"classes": [markup, f"2 {markup}"]})
        return Case(f"classes named {markup}", cases.report())
    if kind == 1:
        folder = place.copy("folder", name)
        (folder / "cats").rename(folder / f"cats {name}")
        _configure(run, {"dataset": f"./{name}"})
        return Case(f"a data set and a class named {name}", cases.report())
    if kind == 2:
        run.rename(run.with_name(name))
        return Case(f"a run named {name}", Command("report", (name,), (f"work/{name}/report.html",)))
    if kind == 3:
        result = json.loads((run / "result.json").read_text())
        key = random.choice(("dataset", "recipe", "backend", "versions"))
        result[key] = {"xnn": markup, markup: "1", "numpy": markup} if key == "versions" else markup
        (run / "result.json").write_text(json.dumps(result))
        return Case(f"{key} of result.json = {markup}", cases.report())
    if kind == 4:
        file = random.choice(("metrics.jsonl", "intervals.jsonl"))
        rows = [json.loads(row) for row in (run / file).read_text().splitlines()]
        key = random.choice(sorted(rows[0]))
        # Alone, so that it is not another value that has the row refused.
        bare = {name: 1.0 if name == "seconds" else None for name in rows[0]}
        rows = [(row if random.random() < 0.3 else bare) | {key: markup} for row in rows]
        (run / file).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return Case(f"{key} of {file} = {markup}", cases.report())
    file = random.choice(("config.json", "result.json", "metrics.jsonl", "intervals.jsonl"))
    share = random.choice((0.02, 0.3, 1.0))
    content = (run / file).read_text()
    documents = [json.loads(row) for row in ([content] if file.endswith(".json") else content.splitlines())]
    text = "".join(f"{json.dumps(_planted(document, markup, share, random))}\n" for document in documents)
    (run / file).write_text(text)
    return Case(f"{markup} in {file}", cases.report())


def _planted(value: Any, markup: str, share: float, random: Random) -> Any:
    """Return a document with a share of its values replaced."""
    if isinstance(value, dict):
        return {name: _planted(item, markup, share, random) for name, item in value.items()}
    if isinstance(value, list):
        return [_planted(item, markup, share, random) for item in value]
    return markup if random.random() < share else value


def _configure(run: Path, changes: dict[str, Any]) -> None:
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _describe(run: Path, changes: dict[str, Any]) -> None:
    """Change what the metadata of a run's model says of it."""
    path = run / "model.safetensors"
    file = tensors.Tensors.of(path.read_bytes())
    description = json.loads(file.header["__metadata__"]["xnn"])
    path.write_bytes(tensors.sealed_model(file, description | changes))


def terminal(place: Place, random: Random | None) -> Case:
    """Control characters wherever a command prints what it was given."""
    run = _placed(place, "run")
    if random is None:
        return Case("nothing", cases.report("--no-html"), SOUND)
    sign = random.choice(json_values.CONTROLS).replace("\0", "\x01")
    kind = random.randrange(7)
    if kind == 0:
        name = f"run {sign}".replace("/", "_")
        run.rename(run.with_name(name))
        program = random.choice(("report", "predict"))
        more = ("--no-html",) if program == "report" else (PICTURE,)
        return Case(f"a run named {name!r}", Command(program, (name, *more)))
    if kind == 1:
        _describe(run, {"classes": [f"cats{sign}", f"dogs{sign}"]})
        return Case(f"classes with {sign!r}", random.choice(_commands(place)))
    if kind == 2:
        name = f"pic{sign}.png"
        (place.work / PICTURE).rename(place.work / name)
        if random.random() < 0.5:
            (place.work / name).write_bytes(b"no picture")
        return Case(f"a picture named {name!r}", cases.predict(name))
    if kind == 3:
        folder = place.copy("folder")
        (folder / "cats").rename(folder / f"cats{sign}")
        if random.random() < 0.3:
            (folder / f"cats{sign}" / "05.png").write_bytes(b"no picture")
        command = random.choice((cases.train("./folder", "--backend", "numpy"), cases.evaluate("./folder")))
        return Case(f"a class folder named 'cats{sign!r}'", command)
    settings = json.loads((run / "config.json").read_text())
    key = random.choice(sorted(settings))
    _configure(run, {key: f"{settings[key]}{sign}"} if kind > 4 else {f"x{sign}": 1})
    return Case(f"{key} with {sign!r}", random.choice(_commands(place)))


GROUPS = (
    Group("config", 14, config),
    Group("result", 8, result),
    Group("metrics", 8, partial(_rows, "metrics.jsonl")),
    Group("intervals", 7, partial(_rows, "intervals.jsonl")),
    Group("model", 11, model),
    Group("checkpoints", 11, checkpoints),
    Group("page", 5, page),
    Group("terminal", 4, terminal),
)

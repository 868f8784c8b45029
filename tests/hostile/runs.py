"""Cases whose run directory is mutated: what xnn-report, xnn-predict and ``xnn-train --resume`` are handed."""

import json
from pathlib import Path
from random import Random

from tests.hostile import cases, json_values, tensors
from tests.hostile.cases import SOUND, Case, Command, Group
from tests.hostile.rule import CODES
from tests.hostile.world import Place

PICTURE = "picture.png"


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


def metrics(place: Place, random: Random | None) -> Case:
    return _rows("metrics.jsonl", place, random)


def intervals(place: Place, random: Random | None) -> Case:
    return _rows("intervals.jsonl", place, random)


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
    return Case(f"{len(chosen)} of {len(files)} checkpoints: {told}", cases.resume(*more), expected)


def page(place: Place, random: Random | None) -> Case:
    """Markup in each text of a run's files, of which a page is made."""
    run = _placed(place, "run")
    if random is None:
        return Case("nothing", cases.report(), SOUND)
    markup = random.choice(json_values.MARKUP)
    share = random.choice((0.05, 0.3, 1.0))
    numbers = random.random() < 0.3

    def planted(value, key=""):
        if isinstance(value, dict):
            return {name: planted(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [planted(item, key) for item in value]
        text = isinstance(value, str) or value is None
        odd = (text or numbers) and random.random() < share
        return markup if odd and key not in ("shape", "backend") else value

    chosen = random.choice(("config.json", "result.json", "metrics.jsonl", "intervals.jsonl", "model.safetensors", ""))
    for name in ("config.json", "result.json", "metrics.jsonl", "intervals.jsonl"):
        if chosen in ("", name):
            rows = [json.loads(line) for line in (run / name).read_text().splitlines()] if name[-1] == "l" else None
            if rows is None:
                text = json.dumps(planted(json.loads((run / name).read_text())))
            else:
                text = "".join(f"{json.dumps(planted(row))}\n" for row in rows)
            (run / name).write_text(text)
    if chosen in ("", "model.safetensors"):
        file = tensors.Tensors.of((run / "model.safetensors").read_bytes())
        description = json.loads(file.header["__metadata__"]["xnn"])
        description["classes"] = [markup, f"2 {markup}"]
        file.header["__metadata__"]["xnn"] = json.dumps(description)
        (run / "model.safetensors").write_bytes(tensors.sealed_model(file))
    return Case(f"{markup} in {chosen or 'every file'}", cases.report())


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
        file = tensors.Tensors.of((run / "model.safetensors").read_bytes())
        description = json.loads(file.header["__metadata__"]["xnn"])
        description["classes"] = [f"cats{sign}", f"dogs{sign}"]
        file.header["__metadata__"]["xnn"] = json.dumps(description)
        (run / "model.safetensors").write_bytes(tensors.sealed_model(file))
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
    settings[key] = f"{settings[key]}{sign}"
    if kind == 4:
        settings[f"x{sign}"] = 1
    (run / "config.json").write_text(json.dumps(settings))
    return Case(f"{key} with {sign!r}", random.choice(_commands(place)))


GROUPS = (
    Group("config", 14, config),
    Group("result", 8, result),
    Group("metrics", 8, metrics),
    Group("intervals", 7, intervals),
    Group("model", 11, model),
    Group("checkpoints", 11, checkpoints),
    Group("page", 5, page),
    Group("terminal", 4, terminal),
)

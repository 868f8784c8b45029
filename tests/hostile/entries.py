"""Cases where something that is no plain file stands in a file's place, or leads elsewhere."""

import os
from pathlib import Path
from random import Random

from tests.hostile import cases, files
from tests.hostile.cases import CODES, SOUND, Case, Command, Group
from tests.hostile.runs import PICTURE
from tests.hostile.world import Place

RUN_FILES = ("config.json", "result.json", "metrics.jsonl", "intervals.jsonl", "model.safetensors")
CIFAR = ("cifar10", "cifar100")
WRITTEN = ("report.html", ".lock", "curves.png", "checkpoints", "new.tmp")


def _chosen(place: Place, random: Random) -> tuple[Command, Path]:
    """Return a command, and a path that it reads or writes; what it needs is there."""
    place.copy("folder/cats/00.png", PICTURE)
    kind = random.randrange(8)
    if kind <= 2:
        run = place.copy("run")
        command = random.choice((cases.report(), cases.report(), cases.report("--no-html"), cases.predict(PICTURE)))
        return command, run / random.choice((*RUN_FILES, "report.html", "report.html", "checkpoints"))
    if kind <= 4:
        run = place.copy("stopped")
        saved = [f"checkpoints/{path.name}" for path in (run / "checkpoints").iterdir()]
        written = (*RUN_FILES[:4], *WRITTEN, *saved, "model.safetensors")
        return cases.resume("--epochs", "2"), run / random.choice(written)
    if kind == 5:
        place.copy("run")
        folder = place.copy("folder")
        entry = random.choice(("cats/03.png", "dogs/11.png", "dogs", "rats", "cats/new.png", "train", "notes.txt"))
        command = random.choice((cases.look("./folder"), cases.evaluate("./folder")))
        return command, folder / entry
    if kind == 6:
        name = random.choice(
            ("idx", *(f"{cifar}-{kind}" for cifar in CIFAR for kind in ("binary", "python", "archives")))
        )
        which = "mnist" if name == "idx" else name.partition("-")[0]
        data = place.copy(name, "data")
        paths = [path for path in sorted(data.rglob("*")) if "archives" not in name or "binary" in path.name]
        return cases.look(which, "--data-dir", "data"), random.choice(paths)
    return random.choice(
        (
            (cases.look(str(place.world.part("folder"))), place.path / "cache" / place.world.cache_file.name),
            (cases.train(str(place.world.part("folder"))), _made(place.work / "new") / random.choice(WRITTEN[:3])),
            (cases.predict(PICTURE), place.copy("run").parent / PICTURE),
        )
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _plant_temporaries(place: Place, folder: Path, names: tuple[str, ...]) -> str:
    """Put links where a temporary file would be, were its name the process's number."""
    target = place.outside / "authorized_keys"
    newest = int(Path("/proc/loadavg").read_text().split()[-1])
    for name in names:
        for process in range(newest, newest + 400):
            (folder / f".{name}.{process}.tmp").symlink_to(target)
        (folder / f".{name}.tmp").symlink_to(target)
        (folder / f"{name}.tmp").symlink_to(target)
        (folder / f".{name}.0123456789abcdef.tmp").symlink_to(target)
    return f"links outside where temporary files of {', '.join(names)} may be"


def links(place: Place, random: Random | None) -> Case:
    if random is None:
        place.copy("run")
        return Case("nothing", cases.report(), SOUND)
    kind = random.random()
    if kind < 0.1:
        run = place.copy("run")
        return Case(_plant_temporaries(place, run, ("report.html",)), cases.report(), SOUND)
    if kind < 0.2:
        run = place.copy("stopped")
        names = ("metrics.jsonl", "model.safetensors") if kind < 0.15 else ("step-00000009.safetensors",)
        told = _plant_temporaries(place, run if kind < 0.15 else run / "checkpoints", names)
        return Case(told, cases.resume(), SOUND)
    command, path = _chosen(place, random)
    if path.exists() and random.random() < 0.2:
        told = files.moved_outside(path, place.outside)
    elif random.random() < 0.1:
        told = files.loop(path)
    else:
        told = files.link(path, place.outside, random)
    return _case(told, command, path)


def kinds(place: Place, random: Random | None) -> Case:
    if random is None:
        place.copy("stopped")
        return Case("nothing", cases.resume(), SOUND)
    command, path = _chosen(place, random)
    path.parent.mkdir(exist_ok=True)
    if path.parent.name == "cache" and random.random() < 0.3:
        path = path.parent  # which may be a link, though: whoever calls has chosen it
    if random.random() < 0.1:
        return Case(_unexpected(path.parent, random), command, small=_small(command))
    if not path.exists():
        path.touch()
    return _case(files.odd_kind(path, random), command, path)


def _case(told: str, command: Command, path: Path) -> Case:
    # Of three checkpoints two are as they were, so that the run goes on.
    sound = path.parent.name == "checkpoints"
    return Case(told, command, SOUND if sound else CODES, _small(command))


def _small(command: Command) -> str:
    return "tiny" if set(CIFAR).intersection(command.arguments) else ""


def _unexpected(folder: Path, random: Random) -> str:
    """Put files into a folder that have no business there."""
    suffix = random.choice((".safetensors", ".png", ".jsonl", ".tmp", ""))
    kind = random.randrange(4)
    if kind == 0:
        for number in range(3000):
            (folder / f"more {number}{suffix}").touch()
        return f"3,000 empty files more{suffix}"
    if kind == 1:
        (folder / f"folder{suffix}").mkdir()
        return f"a folder named folder{suffix}"
    if kind == 2:
        os.mkfifo(folder / f"pipe{suffix}")
        return f"a FIFO named pipe{suffix}"
    name = random.choice(
        ("\x1b[2J", "\xff" * 50, os.fsdecode(b"\xff\xfe"), "a\nb", "-", "x" * 200, ".", "..", "%s", "~")
    )
    (folder / f"{name}{suffix or '.x'}").write_bytes(b"x")
    return f"a file named {name!r}{suffix}"


GROUPS = (Group("links", 7, links), Group("kinds", 6, kinds))

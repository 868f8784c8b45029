"""Cases whose data set is mutated: official files, plain, in archives or downloaded."""

import gzip
import os
import shutil
import struct
from pathlib import Path
from random import Random

from tests.hostile import archives, cases, pickles
from tests.hostile.cases import SOUND, Case, Group
from tests.hostile.mutations import torn
from tests.hostile.world import Place
from xnn.data.sources import OFFICIAL


def idx(place: Place, random: Random | None) -> Case:
    data = place.copy("idx", "data")
    if random is None:
        return Case("nothing", cases.train("mnist", "--data-dir", "data"), SOUND)
    path = random.choice(sorted(data.iterdir()))
    told = _spoil_idx(path, random)
    if random.random() < 0.1:
        path.rename(path.with_suffix("" if path.suffix == ".gz" else ".gz"))
    more = ("--data-dir", "data")
    command = cases.train("mnist", *more) if random.random() < 0.15 else cases.look("mnist", *more)
    return Case(f"{path.name} {told}", cases.some_compared(command, random, "mnist", *more))


def _spoil_idx(path: Path, random: Random) -> str:
    content = path.read_bytes()
    plain = gzip.decompress(content) if path.suffix == ".gz" else content
    kind = random.randrange(5)
    if kind == 0 and path.suffix == ".gz":
        content, told = archives.gzipped(content, random)
        path.write_bytes(content)
        return told
    plain, told = _odd_idx(plain, random) if kind <= 2 else torn(plain, random)
    path.write_bytes(gzip.compress(plain, 1) if path.suffix == ".gz" else plain)
    return told


def _odd_idx(plain: bytes, random: Random) -> tuple[bytes, str]:
    axes = plain[3]
    shape = list(struct.unpack(f">{axes}I", plain[4 : 4 + 4 * axes]))
    body = plain[4 + 4 * axes :]
    kind = random.randrange(5)
    if kind == 0:
        shape[random.randrange(axes)] = random.choice((0, 1, 2**16, 2**31, 2**32 - 1))
    elif kind == 1:
        count = len(body)
        shape = random.choice(([count], [1, count], [count, 1, 1], [1] * 255, [0] * 255, [count] + [1] * 254, []))
    elif kind == 2:
        body = random.choice((b"\xff" * len(body), bytes(len(body)), random.randbytes(len(body))))
    elif kind == 3:
        shape = [2**32 - 1] * random.choice((3, 64, 65, 255))
    start = bytes((0, 0, random.choice((8, 8, 8, 9, 0xB, 0xC, 0xD, 0xE, 0, 255)), len(shape)))
    return start + struct.pack(f">{len(shape)}I", *shape) + body, f"of shape {shape[:5]} and type {start[2]:#x}"


def _some_cifar(random: Random | None) -> tuple[str, tuple[str, ...]]:
    """Return the name of a data set, and what more there is to say to a command."""
    name = random.choice(("cifar10", "cifar10", "cifar100")) if random else "cifar10"
    coarse = name == "cifar100" and random.random() < 0.3
    return name, ("--data-dir", "data", *(("--labels", "coarse") if coarse else ()))


def cifar_binary(place: Place, random: Random | None) -> Case:
    name, more = _some_cifar(random)
    root = place.copy(f"{name}-binary", "data")
    if random is None:
        return Case("nothing", cases.train(name, *more), SOUND, small="tiny")
    path = random.choice(sorted(root.rglob("*.bin")))
    content = bytearray(path.read_bytes())
    if random.random() < 0.5:
        changed, told = torn(bytes(content), random)
        path.write_bytes(changed)
    else:
        labels = 2 if name == "cifar100" else 1
        size = labels + 3072
        label, place_of_label = random.choice((10, 20, 100, 128, 255, 9)), random.randrange(labels)
        record = random.randrange(len(content) // size)
        content[record * size + place_of_label] = label
        path.write_bytes(content)
        told = f"with label {label} of image {record}"
    return Case(f"{path.name} {told}", cases.look(name, *more), small="tiny")


def cifar_pickle(place: Place, random: Random | None) -> Case:
    name, more = _some_cifar(random)
    root = place.copy(f"{name}-python", "data")
    command = cases.look(name, *more)
    if random is None:
        return Case("nothing", cases.train(name, *more), SOUND, small="tiny")
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    if random.random() < 0.1:
        content, told = pickles.bombs(random)
        for path in paths[1:]:
            os.truncate(path, 3_100_000)
        paths[0].write_bytes(content)
        return Case(f"{paths[0].name}: {told}", command, small="larger")
    path = random.choice(paths)
    least = path.stat().st_size // 3072 * 3072
    content, told = pickles.batch(path.read_bytes(), random)
    path.write_bytes(content + bytes(max(0, least - len(content))))  # it would be refused for its size
    return Case(f"{path.name}: {told}", command, small="tiny")


def archive(place: Place, random: Random | None) -> Case:
    name, more = _some_cifar(random)
    sources = sorted(place.world.part(f"{name}-archives").iterdir())
    (place.work / "data").mkdir()
    command = cases.look(name, *more)
    if random is None:
        shutil.copy(sources[0], place.work / "data")
        return Case("nothing", command, SOUND, small="tiny")
    source = random.choice(sources)
    content, told = archives.archive(source.read_bytes(), random)
    (place.work / "data" / source.name).write_bytes(content)
    return Case(f"{source.name} {told}", command, small="tiny")


def downloads(place: Place, random: Random | None) -> Case:
    """What was downloaded once: it is there, so that nothing is to be fetched."""
    place.copy("run")
    name = random.choice(tuple(OFFICIAL)) if random else "mnist"
    folder = place.path / "cache" / "downloads" / name
    if name.startswith("cifar"):
        (source,) = place.world.part(f"{name}-archives").glob("*-binary.tar.gz")
        folder.mkdir(parents=True)
        content, told = archives.archive(source.read_bytes(), random)
        (folder / source.name).write_bytes(content)
        return Case(f"{source.name} {told}", cases.look(name), small="tiny")
    shutil.copytree(place.world.part("idx"), folder)
    for path in folder.glob("*-ubyte"):  # as it is on the net
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    if random is None:
        return Case("nothing", cases.train(name), SOUND)
    path = random.choice(sorted(folder.iterdir()))
    told = _spoil_idx(path, random)
    commands = (cases.look(name), cases.look(name), cases.train(name), cases.evaluate(name))
    return Case(f"{path.name} {told}", random.choice(commands))


GROUPS = (
    Group("idx", 6, idx),
    Group("cifar-binary", 2, cifar_binary),
    Group("cifar-pickle", 7, cifar_pickle),
    Group("archive", 4, archive),
    Group("downloads", 3, downloads),
)

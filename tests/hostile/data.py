"""Cases whose data is mutated: folders of pictures, official files, archives, the cache."""

import gzip
import os
import shutil
import struct
from pathlib import Path
from random import Random

from PIL import Image

from tests.hostile import archives, cases, files, images, json_values, pickles, tensors
from tests.hostile.cases import SOUND, Case, Group
from tests.hostile.mutations import torn
from tests.hostile.world import IMAGES, Place


def _of_folder(place: Place, random: Random, told: str) -> Case:
    """Let a command read ``work/folder``."""
    place.copy("run")
    command = random.choice((cases.look("./folder"), cases.look("./folder"), cases.evaluate("./folder")))
    return Case(told, command)


def pictures_of_a_folder(place: Place, random: Random | None) -> Case:
    folder = place.copy("folder")
    if random is None:
        return Case("nothing", cases.train("./folder"), SOUND)
    if random.random() < 0.1:
        content, told = images.bomb(random)
        for number in range(IMAGES):
            for name in ("cats", "dogs"):
                (folder / name / f"{number:02}.png").write_bytes(content)
        return _of_folder(place, random, f"each picture {told}")
    path = folder / random.choice(("cats", "dogs")) / f"{random.randrange(IMAGES):02}.png"
    content, told = _odd_picture(place, path.read_bytes(), random)
    path.write_bytes(content)
    if random.random() < 0.2:
        path.rename(path.with_suffix(random.choice((".jpg", ".gif", ".bmp", ".webp", ".tif", ".PNG", ".pgm", ".eps"))))
    return _of_folder(place, random, f"{path.name} {told}")


def _odd_picture(place: Place, content: bytes, random: Random) -> tuple[bytes, str]:
    kind = random.random()
    if kind < 0.5:
        return images.picture(content, random)
    if kind < 0.65:
        return images.foreign(random)
    if kind < 0.7:
        return images.bomb(random)
    source = random.choice(sorted(place.world.part("pictures").iterdir()))
    if kind < 0.8:
        return source.read_bytes(), f"as {source.name}"
    content, told = images.picture(source.read_bytes(), random)
    return content, f"as {source.name} {told}"


def pictures(place: Place, random: Random | None) -> Case:
    place.copy("run")
    source = place.world.part("pictures") / "L.png"
    if random is None:
        place.copy("pictures/RGBA.png", "picture.png")
        return Case("nothing", cases.predict("picture.png"), SOUND)
    content, told = _odd_picture(place, source.read_bytes(), random)
    name = f"picture{random.choice(('.png', '.png', '.jpg', '.gif', '.tiff', '', '.eps'))}"
    (place.work / name).write_bytes(content)
    return Case(f"{name} {told}", cases.predict(name, *random.choice(((), ("--json",), ("--invert",)))))


def folder(place: Place, random: Random | None) -> Case:
    """Odd names, and odd numbers of them."""
    root = place.copy("folder")
    if random is None:
        return Case("nothing", cases.look("./folder"), SOUND)
    kind = random.randrange(10)
    name = random.choice(json_values.TEXTS)[:60].replace("/", "_").replace("\0", "_") or "_"
    if "\ud800" in name:
        name = os.fsdecode(b"\xff\xfe")
    told = f"a folder named {name!r}"
    if name in (".", "..") or kind == 0:
        told = "no pictures"
        shutil.rmtree(root / "cats")
        shutil.rmtree(root / "dogs")
    elif kind == 1:
        (root / "cats").rename(root / name)
    elif kind == 2:
        (root / "cats" / "00.png").rename(root / "cats" / f"{name}.png")
        told = f"a picture named {name!r}"
    elif kind == 3:
        for number in range(3000):
            (root / f"class {number}").mkdir()
        told = "3000 empty classes"
    elif kind == 4:
        for number in range(1500):
            (root / f"class {number}").mkdir()
            shutil.copy(root / "cats" / "00.png", root / f"class {number}")
        told = "1500 classes of one picture"
    elif kind == 5:
        (root / "train").mkdir()
        (root / "cats").rename(root / "train" / "cats")
        if random.random() < 0.7:
            (root / "test").mkdir()
            (root / "dogs").rename(root / "test" / random.choice(("cats", "dogs")))
        told = "train and test that differ"
    elif kind == 6:
        for path in sorted(root.rglob("*.png"))[random.randrange(6) :]:
            path.unlink()
        told = "few pictures"
    elif kind == 7:
        deep = root / "cats" / Path(*["deep"] * 100)
        deep.mkdir(parents=True)
        (root / "cats" / "folder.png").mkdir()
        told = "folders within folders, one named as a picture"
    elif kind == 8:
        Image.new("L", random.choice(((9, 8), (1, 1), (8, 1)))).save(root / "cats" / "05.png")
        told = "a picture of another size"
    else:
        for path in root.rglob("*.png"):
            Image.new("L", (1, random.choice((1, 1, 3)))).save(path)
        told = "pictures of a pixel"
    return _of_folder(place, random, told)


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
    return Case(f"{path.name} {told}", command)


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
    name = random.choice(("mnist", "fashion-mnist", "cifar10", "cifar100")) if random else "mnist"
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


def cache(place: Place, random: Random | None) -> Case:
    place.copy("run")
    source = place.world.cache_file
    path = place.path / "cache" / source.name
    root = str(place.world.part("folder"))
    if random is None:
        shutil.copy(source, path)
        return Case("nothing", cases.train(root), SOUND)
    content, told = tensors.cache(source.read_bytes(), random)
    path.write_bytes(content)
    if random.random() < 0.1:
        told = f"{told}; {files.odd_kind(path, random)}"
    command = random.choice((cases.look(root), cases.look(root), cases.evaluate(root), cases.train(root)))
    return Case(f"the cache {told}", command)


def kernels(place: Place, random: Random | None) -> Case:
    """What Numba keeps of compiled code."""
    place.copy("folder")
    place.copy("run")
    kept = place.path / "cache" / "kernels"
    shutil.copytree(place.world.part("kernels"), kept)
    place.environment["NUMBA_CACHE_DIR"] = str(kept)
    if random is None:
        return Case("nothing", cases.train("./folder"), SOUND, real=True)
    paths = sorted(path for path in kept.rglob("*") if path.is_file())
    command = random.choice((cases.train("./folder"), cases.train("./folder"), cases.evaluate("./folder")))
    for path in paths if random.random() < 0.3 else [random.choice(paths)]:
        content, change = torn(path.read_bytes(), random)
        path.write_bytes(content)
        told = f"{path.name} {change}"
    # They are compiled anew, and a line says so.
    return Case(told, command, SOUND, real=True, notes="xnn: compiled kernels in ")


GROUPS = (
    Group("images", 6, pictures_of_a_folder),
    Group("folder", 3, folder),
    Group("idx", 6, idx),
    Group("cifar-binary", 2, cifar_binary),
    Group("cifar-pickle", 7, cifar_pickle),
    Group("archive", 4, archive),
    Group("downloads", 3, downloads),
    Group("cache", 5, cache),
    Group("pictures", 7, pictures),
    Group("kernels", 0.15, kernels),
)

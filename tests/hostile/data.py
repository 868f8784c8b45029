"""Cases whose pictures or cache is mutated."""

import os
import shutil
from pathlib import Path
from random import Random

from PIL import Image

from tests.hostile import cases, files, images, json_values, tensors
from tests.hostile.cases import SOUND, Case, Command, Group
from tests.hostile.mutations import torn
from tests.hostile.world import IMAGES, Place


def _of_folder(place: Place, random: Random, told: str) -> Case:
    """Let a command read ``work/folder``."""
    place.copy("run")
    command = random.choice(
        (_looked_at("./folder", random), _looked_at("./folder", random), cases.evaluate("./folder"))
    )
    return Case(told, cases.some_compared(command, random, "./folder"))


def _looked_at(dataset: str, random: Random) -> Command:
    return cases.look(dataset, *random.choice(((), ("--skip-bad",), ("--image-size", "5"))))


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


def csv_file(place: Place, random: Random | None) -> Case:
    """One that lists the pictures of a folder."""
    root = place.copy("folder")
    rows = [f"{path.relative_to(root).as_posix()},{path.parent.name}\n" for path in sorted(root.rglob("*.png"))]
    content, told = f"path,label\n{''.join(rows)}".encode(), "nothing"
    if random is not None:
        content, told = torn(content, random)
    (root / "labels.csv").write_bytes(content)
    if random is None:
        return Case(told, cases.train("./folder/labels.csv"), SOUND)
    return Case(f"labels.csv {told}", _looked_at("./folder/labels.csv", random))


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
    return Case(f"the cache {told}", cases.some_compared(command, random, root))


def kernels(place: Place, random: Random | None) -> Case:
    """What Numba keeps of compiled code."""
    place.copy("folder")
    place.copy("run")
    kept = place.path / "cache" / "kernels"
    shutil.copytree(place.world.part("kernels"), kept)
    place.environment["NUMBA_CACHE_DIR"] = str(kept)
    paths = sorted(path for path in kept.rglob("*") if path.is_file())
    if random is None or not paths:  # there are none without Numba
        return Case("nothing", cases.train("./folder"), SOUND, real=True)
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
    Group("csv", 3, csv_file),
    Group("cache", 5, cache),
    Group("pictures", 7, pictures),
    Group("kernels", 0.15, kernels),
)

"""Mutations of safetensors files, with the checksums made right again where that is asked for."""

import json
import zlib
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.hostile.json_values import changed, odd_value, shown, written
from tests.hostile.mutations import torn

WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "U64": 8}
DTYPES = (*WIDTHS, "F8_E4M3", "F4", "C64", "", "<f4", "object", None, 4)
NAMES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{"U8": "uint8", "U64": "uint64", "BOOL": "bool", "BF16": "bfloat16"},
}


@dataclass
class Tensors:
    """The two parts of a file: its header, and the bytes of its arrays."""

    header: dict[str, Any]
    data: bytes

    @classmethod
    def of(cls, content: bytes) -> "Tensors":
        size = int.from_bytes(content[:8], "little")
        return cls(json.loads(content[8 : 8 + size]), content[8 + size :])

    @property
    def names(self) -> list[str]:
        return [name for name in self.header if name != "__metadata__"]

    def bytes_of(self, name: str) -> bytes:
        start, stop = self.header[name]["data_offsets"]
        return self.data[start:stop]

    def replace(self, arrays: dict[str, tuple[str, list[int], bytes]]) -> None:
        """Hold these arrays, name to type, shape and bytes, in place of all there were."""
        self.header = {"__metadata__": self.header.get("__metadata__", {})}
        self.data = b""
        for name, (dtype, shape, content) in arrays.items():
            offsets = [len(self.data), len(self.data) + len(content)]
            self.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            self.data += content

    def content(self, size: int | None = None) -> bytes:
        """Return the file; `size` is what it says of its header's length, if that is to be a lie."""
        text = written(self.header)
        text += b" " * (-len(text) % 8)
        return (len(text) if size is None else size).to_bytes(8, "little") + text + self.data


def sealed_checkpoint(file: Tensors, info: Any) -> bytes:
    """Return a checkpoint of this description whose checksums are right."""
    if isinstance(info, dict) and isinstance(info.get("tensors"), dict):
        for name in file.names:
            entry = info["tensors"].get(name)
            if isinstance(entry, dict):
                entry["crc32"] = zlib.crc32(file.bytes_of(name))
    text = written(info).decode("utf-8", "surrogatepass").encode("utf-8", "replace").decode()
    file.header["__metadata__"] = {"info": text, "crc32": str(zlib.crc32(text.encode()))}
    return file.content()


def sealed_model(file: Tensors, description: Any) -> bytes:
    """Return a model of this description."""
    text = written(description).decode("utf-8", "surrogatepass").encode("utf-8", "replace").decode()
    file.header["__metadata__"] = {"xnn": text}
    return file.content()


def odd_numbers(content: bytes, dtype: str, random: Random) -> tuple[bytes, str]:
    """Return the bytes of an array with odd numbers in it."""
    import numpy as np

    kinds = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
    if dtype not in kinds or not content:
        return random.randbytes(len(content)), "random bytes"
    array = np.frombuffer(content, kinds[dtype]).copy()
    with np.errstate(over="ignore"):
        value = kinds[dtype](random.choice((np.nan, np.inf, -np.inf, 1e300, -1e300, 1e38, 1e-45, -0.0, 1e30)))
    if random.random() < 0.5:
        array[random.randrange(len(array))] = value
        return array.tobytes(), f"one {value}"
    array[:] = value
    return array.tobytes(), f"all {value}"


def odd_arrays(file: Tensors, random: Random) -> str:
    """Change the arrays of a file, header and bytes together, and say how."""
    arrays = {
        name: (file.header[name]["dtype"], list(file.header[name]["shape"]), file.bytes_of(name)) for name in file.names
    }
    name = random.choice(sorted(arrays))
    dtype, shape, content = arrays[name]
    count = len(content) // WIDTHS[dtype]
    kind = random.randrange(9)
    if kind <= 2:
        content, told = odd_numbers(content, dtype, random)
        arrays[name] = (dtype, shape, content)
    elif kind == 3:
        odd = random.choice(([count], [1, count], [count, 1], [1] * 40 + [count], [1] * 70 + [count]))
        arrays[name], told = (dtype, odd, content), f"of shape {odd}"
    elif kind == 4:
        new = random.choice(tuple(WIDTHS))
        arrays[name], told = (new, [count], bytes(count * WIDTHS[new])), f"of type {new}"
    elif kind == 5:
        del arrays[name]
        told = "missing"
    elif kind == 6:
        odd = ("", "x" * 5000, "<planted>", "\x1b[31m", "optimizer/", "average/x", "__metadata", f"{name} ")
        other = random.choice(odd)
        arrays[other], told = arrays.pop(name), f"named {shown(other)}"
    elif kind == 7:
        arrays |= {f"{name}.{number}": ("F32", [0], b"") for number in range(random.choice((1, 5000)))}
        told = "followed by empty ones"
    else:
        empty = random.choice(([0], [0, 2**40], [2**31, 0, 2**31], [0] * 33))
        arrays[name], told = (dtype, empty, b""), f"of shape {empty}"
    file.replace(arrays)
    return f"array {name} {told}"


def odd_header(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate the header of a file, and leave all else as it is."""
    file = Tensors.of(content)
    kind = random.randrange(8)
    if kind == 0:
        size = random.choice((0, 1, 2**20, 10**8, 10**8 + 1, 2**31, 2**53, 2**63, 2**64 - 1, len(content)))
        return file.content(size), f"whose header claims {size} bytes"
    if kind == 1:
        name = random.choice(file.names)
        key = random.choice(("dtype", "shape", "data_offsets"))
        lies = {
            "dtype": DTYPES,
            "shape": ([-1], [2**40, 2**40], [2**63], [], None, "x", [1.5], [True], [0], [2**64, 0], [[1]]),
            "data_offsets": ([0, 2**62], [-8, 8], [8, 0], [0], [0, 0, 0], None, [0, 1], [2**64, 2**65], [0.0, 8.0]),
        }
        file.header[name][key] = random.choice(lies[key])
        return file.content(), f"whose {name} has {key} {file.header[name][key]}"
    if kind == 2:
        file.data += random.randbytes(random.choice((1, 8, 10**6)))
        return file.content(), "with bytes after its arrays"
    if kind == 3:
        file.header["__metadata__"] = odd_value(random)
        return file.content(), f"with metadata {shown(file.header['__metadata__'])}"
    if kind == 4:
        name = random.choice(file.names)
        file.header[f"{name}@twice@"] = file.header[name]
        return file.content(), f"with {name} twice"
    file.header, told = changed(file.header, random)
    return file.content(), f"whose header: {told}"


def checkpoint(content: bytes, random: Random) -> tuple[bytes, str, bool]:
    """Mutate a checkpoint; also whether the damage is one that a checksum tells."""
    kind = random.random()
    if kind < 0.15:
        return *torn(content, random), True
    if kind < 0.25:
        return *odd_header(content, random), False
    file = Tensors.of(content)
    info = json.loads(file.header["__metadata__"]["info"])
    if kind < 0.5:
        told = odd_arrays(file, random)
        if random.random() < 0.8:
            info["tensors"] = _described(file)
        return sealed_checkpoint(file, info), f"{told}, checksums right", False
    if kind < 0.55:
        info, told = changed(info, random)
    else:
        info["state"], told = changed(info["state"], random)
    return sealed_checkpoint(file, info), f"{told}, checksums right", False


def _described(file: Tensors) -> dict[str, Any]:
    """Return the descriptions of a file's arrays as checkpoints hold them."""
    return {
        name: {
            "dtype": NAMES[file.header[name]["dtype"]],
            "shape": file.header[name]["shape"],
            "crc32": zlib.crc32(file.bytes_of(name)),
        }
        for name in file.names
    }


def model(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a model with its description."""
    kind = random.random()
    if kind < 0.1:
        return torn(content, random)
    if kind < 0.25:
        return odd_header(content, random)
    file = Tensors.of(content)
    description = json.loads(file.header["__metadata__"]["xnn"])
    if kind < 0.5:
        told = odd_arrays(file, random)
        if random.random() < 0.8:
            description["tensors"] = _described(file)
        return sealed_model(file, description), f"{told}, checksums right"
    description, told = changed(description, random)
    if kind > 0.9 and isinstance(description, dict):
        description, more = changed(description, random)
        told = f"{told}, {more}"
    return sealed_model(file, description), told


def cache(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a cache file; half of the time its checksum, its last four bytes, is right."""
    if random.random() < 0.3:
        return torn(content, random)
    file = Tensors.of(content)
    kind = random.random()
    if kind < 0.3:
        changed_content, told = odd_header(content, random)
    elif kind < 0.6:
        file.header["__metadata__"], told = changed(file.header["__metadata__"], random)
        changed_content = file.content()
    elif kind < 0.8:
        classes = json.loads(file.header["__metadata__"]["classes"])
        classes, told = changed(classes, random)
        file.header["__metadata__"]["classes"] = written(classes).decode("utf-8", "replace")
        changed_content = file.content()
    else:
        start = random.randrange(max(1, len(file.data) - 4))
        stop = random.randrange(start, len(file.data))
        file.data = file.data[:start] + random.randbytes(stop - start) + file.data[stop:]
        changed_content, told = file.content(), f"random data from {start} to {stop}"
    sealed = changed_content[:-4] + zlib.crc32(changed_content[:-4]).to_bytes(4, "little")
    return sealed, f"{told}, checksum right"

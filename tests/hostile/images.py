"""Mutations of pictures, with the checksums of a PNG's chunks made right."""

import struct
import zlib
from random import Random

from tests.hostile.mutations import torn

Chunks = list[tuple[bytes, bytes]]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ROW = bytes(2**20)


def chunks(content: bytes) -> Chunks:
    """Return the chunks of a PNG: type and data."""
    found, place = [], len(SIGNATURE)
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += size + 12
    return found


def png(parts: Chunks) -> bytes:
    """Return the PNG of some chunks, their checksums right."""
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colour: int = 0, interlaced: int = 0) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)


def large_png(width: int, height: int, depth: int, colour: int) -> bytes:
    """Return a black PNG of this size, which itself is small."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    size = height * (1 + (width * channels * depth + 7) // 8)
    squeezer = zlib.compressobj(9)
    data = [squeezer.compress(_ROW) for _ in range(size // len(_ROW))]
    data.append(squeezer.compress(bytes(size % len(_ROW))) + squeezer.flush())
    palette = [(b"PLTE", bytes(3 * 256))] if colour == 3 else []
    return png([(b"IHDR", header(width, height, depth, colour)), *palette, (b"IDAT", b"".join(data)), (b"IEND", b"")])


def picture(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a picture of any format."""
    if content[:8] != SIGNATURE or random.random() < 0.3:
        return torn(content, random)
    parts = chunks(content)
    kind = random.randrange(7)
    if kind == 0:
        number = random.randrange(len(parts))
        data, told = torn(parts[number][1], random)
        parts[number] = (parts[number][0], data)
        return png(parts), f"whose {parts[number][0].decode()} is {told}"
    if kind == 1:
        side = random.choice((0, 1, 7, 9, 1000, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1))
        width, height = random.choice(((side, 8), (8, side), (side, side)))
        numbers = (random.choice((1, 2, 4, 8, 16, 3)), random.choice((0, 2, 3, 4, 6, 5)), random.choice((0, 0, 1, 2)))
        parts[0] = (b"IHDR", header(width, height, *numbers))
        return png(parts), f"that claims {width}x{height}, depth, colour and interlacing {numbers}"
    if kind == 2:
        compressed = zlib.compress(bytes(random.choice((0, 1, 10**5, 10**8))))
        parts = [part for part in parts if part[0] != b"IDAT"]
        parts.insert(-1, (b"IDAT", compressed))
        return png(parts), f"whose pixels are {len(compressed)} bytes of compressed zeros"
    if kind == 3:
        added = _odd_chunk(random)
        parts.insert(random.randrange(1, len(parts) + 1), added)
        return png(parts), f"with a chunk {added[0]!r} of {len(added[1])} bytes"
    if kind == 4:
        random.shuffle(parts)
        return png(parts), "with its chunks in another order"
    if kind == 5:
        number = random.randrange(len(parts))
        parts[number : number + 1] = [parts[number]] * random.choice((0, 2, 3000))
        return png(parts), f"with chunk {number} another number of times"
    return foreign(random)


def _odd_chunk(random: Random) -> tuple[bytes, bytes]:
    bomb = zlib.compress(bytes(10**8))
    return random.choice(
        (
            (b"zTXt", b"a\0\0" + bomb),
            (b"iTXt", b"a\0\1\0\0\0" + bomb),
            (b"iCCP", b"a\0\0" + bomb),
            (b"tEXt", b"a" * 200_000),
            (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + bytes(100)),
            (b"eXIf", random.randbytes(200)),
            (b"tRNS", random.randbytes(300)),
            (b"PLTE", random.randbytes(random.choice((0, 1, 3, 768, 3000)))),
            (b"gAMA", bytes(4)),
            (b"pHYs", random.randbytes(9)),
            (b"acTL", struct.pack(">II", 2**31, 0)),
            (b"fcTL", random.randbytes(26)),
            (b"sRGB", b""),
            (b"IDAT", random.randbytes(50)),
            (b"IHDR", header(2**20, 2**20)),
            (b"CgBI", bytes(4)),
            (b"\0\0\0\0", b""),
            (b"zzzz", b"x"),
        )
    )


def foreign(random: Random) -> tuple[bytes, str]:
    """Return what is no picture of an expected format, or a picture by its first bytes alone."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(x) run\n%%EOF\n"
    return random.choice(
        (
            (eps, "of EPS"),
            (b"P6 100000 100000 255\n" + bytes(1000), "of PPM with a huge size"),
            (b"P5 8 8 65535\n" + bytes(128), "of PGM with 16 bits"),
            (b"P2 " + b"9" * 5000 + b" 8 255\n", "of PGM with a very long number"),
            (b"P7\nWIDTH 8\nHEIGHT 8\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" + bytes(64), "of PAM"),
            (_bmp(2**30, -(2**30), 24, 0), "of a huge BMP"),
            (_bmp(8, -(2**31), 8, 1), "of an odd BMP"),
            (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b",", "of a huge GIF"),
            (b"II*\0" + struct.pack("<IH", 8, 65535) + random.randbytes(400), "of TIFF with odd tags"),
            (b"II*\0" + struct.pack("<IH", 8, 0) + struct.pack("<I", 8), "of TIFF whose directory is its own next"),
            (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30000, 30000, 8, 3) + bytes(20), "of PSD"),
            (b"\0\0\1\0\xff\xff" + random.randbytes(300), "of ICO"),
            (b"icns" + struct.pack(">I", 2**31) + bytes(50), "of ICNS"),
            (b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WEBPVP8X" + random.randbytes(60), "of WebP"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF" + random.randbytes(300), "of JPEG"),
            (b"SIMPLE  =                    T" + b" " * 50 + b"END" + b" " * 2800, "of FITS"),
            (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "of SVG"),
            (b"\xd7\xcd\xc6\x9a" + random.randbytes(60), "of WMF"),
            (b'/* XPM */\nstatic char *x[] = {\n"8 8 9999999 2",\n', "of XPM"),
            (b"#define x_width 100000\n#define x_height 100000\nstatic char x[] = {\n0x00", "of XBM"),
            (b"\0" * random.choice((1, 100, 10**6)), "of zeros"),
            (b"", "of nothing"),
        )
    )


def _bmp(width: int, height: int, depth: int, compression: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHI", 60, 0, 0, 54, 40, width, height, 1, depth, compression) + bytes(24)


def bomb(random: Random) -> tuple[bytes, str]:
    """Return a small file of a large picture, a tenth of the largest that are known to have done harm."""
    width, height = random.choice(((4000, 4000), (40_000, 400), (1, 10**6), (13_000, 1300), (8000, 8000)))
    depth, colour = random.choice(((1, 0), (8, 0), (8, 2), (8, 6), (16, 0), (8, 3)))
    return large_png(width, height, depth, colour), f"of {width}x{height} black pixels, depth {depth}, colour {colour}"

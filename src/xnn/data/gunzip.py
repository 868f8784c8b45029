"""Unpacking gzip forwards and in pieces."""

import os
import zlib
from typing import BinaryIO

from xnn.data.limits import check_unpacked
from xnn.errors import DataError

_CHUNK, _PIECE = 2**14, 2**20
"""Most bytes to read at once, and most to return at once."""
_PADDING = 2**20
"""Zeros that may follow a member, as on tapes."""
_GZIP = 31  # for zlib: a header and a trailer of gzip, with the largest window


class Gunzip:
    """The content of a gzip file, unpacked only as far as it is asked for.

    Python's `gzip` would do, but it reads the name in a file's header byte by byte in Python, however long the name is.
    The checksum of a member is compared when its end is read.

    Parameters
    ----------
    file : binary file
        Open, at its beginning.
    where : str
        The file's name, for errors.
    most : int, optional
        How many bytes may come out; the limits of `xnn.data.limits` apply as well.

    Attributes
    ----------
    position : int
        How many bytes have been read or skipped.
    """

    def __init__(self, file: BinaryIO, where: str, most: int | None = None) -> None:
        self.position = 0
        self._file, self._where, self._most = file, where, most
        self._packed_size = os.fstat(file.fileno()).st_size
        self._packed = file.read(_CHUNK)
        if self._packed[:2] != b"\x1f\x8b":
            raise DataError(f"{where}: not a gzip file, though its name ends in .gz")
        self._member = zlib.decompressobj(_GZIP)

    def read(self, size: int) -> bytearray:
        """Return the next `size` bytes, fewer only at the end.

        Raises
        ------
        DataError
            If the file is truncated or damaged, or if more comes out than is allowed.
        OSError
            If it cannot be read.
        """
        content = bytearray()
        while len(content) < size and (piece := self._piece(size - len(content))):
            content += piece
        return content

    def skip(self, size: int) -> None:
        """Read on without keeping anything, at most to the end."""
        while size > 0 and (piece := self._piece(size)):
            size -= len(piece)

    def _piece(self, most: int) -> bytes:
        """Return at least one byte and at most `most`, or none at the end."""
        while self._enter_member():
            self._packed = self._packed or self._file.read(_CHUNK)
            at_end = not self._packed
            try:
                piece = self._member.decompress(self._packed, min(most, _PIECE))
            except zlib.error as error:
                raise DataError(f"{self._where}: the gzip file is damaged ({error}); download it again") from None
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                self.position += len(piece)
                self._check_position()
                return piece
            if at_end and not self._member.eof:
                raise DataError(
                    f"{self._where}: the gzip file is truncated ({self._packed_size} bytes); download it again"
                )
        return b""

    def _enter_member(self) -> bool:
        """Whether there is a member left to read: the present one, or another after it, perhaps after zeros."""
        zeros = 0
        while self._member.eof:
            zeros += len(self._packed)
            self._packed = self._packed.lstrip(b"\0")
            zeros -= len(self._packed)
            if zeros > _PADDING:
                raise DataError(f"{self._where}: refused, the gzip file goes on with more than {_PADDING:,} zeros")
            if self._packed:
                self._member = zlib.decompressobj(_GZIP)
            else:
                self._packed = self._file.read(_CHUNK)
                if not self._packed:
                    return False
        return True

    def _check_position(self) -> None:
        check_unpacked(self.position, self._packed_size, self._where)
        if self._most is not None and self.position > self._most:
            raise DataError(f"{self._where}: refused, more than {self._most:,} bytes come out of it")

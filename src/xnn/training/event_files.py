"""TensorBoard's event files: framed records that are appended, and cut back when training resumes before their end.

A record is its length (8 bytes), a checksum of that (4), an `Event`, and a checksum of the event (4). TensorBoard's own
classes make the events and the checksums. Its writer is not used: it has a thread and a queue, so that a kill loses
what was written last, opens files by their paths, and cannot go on in an older file.
"""

import io
import os
import re
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Any

from xnn.errors import RunError
from xnn.files import Folder
from xnn.paths import explained

_HEADER = struct.Struct("<QI")
_CHECKSUM = 4
_LONGEST = 2**26
"""Bytes that an event may have; the largest that is written is one of pictures."""
_NAME = re.compile(r"events\.out\.tfevents\.([0-9]{10})\.xnn")
_SESSION = "_hparams_/"
"""How the tags begin that say with what a session runs."""


class EventFiles:
    """The event files that xnn wrote into a folder; those of other programs are left alone.

    Each `begin` makes a new file, since a TensorBoard that is watching looks for new files, and does not notice that an
    old one has become shorter.

    Parameters
    ----------
    folder
        Open as long as this is used.
    name
        The file that an earlier `begin` made.
    """

    def __init__(self, folder: Folder, name: str = "") -> None:
        self.folder = folder
        self.name = name

    def steps(self, tag: str | None = None) -> set[int]:
        """Return the steps of all events that hold values, or of those that hold one of that tag."""
        found = set()
        for name in self._names():
            for event, _ in self._events(name):
                tags = [value.tag for value in event.summary.value if not value.tag.startswith(_SESSION)]
                if tag in tags or (tag is None and tags):
                    found.add(event.step)
        return found

    def cut_back(self, step: int) -> None:
        """Remove the events after a step, half-written ones, and what earlier sessions said about themselves."""
        for name in self._names():
            if sum(map(len, self._kept(name, step))) != self.folder.size(name):
                with explained(RunError, f"cannot write {self.folder.path / name}"):
                    self.folder.write(name, self._kept(name, step))

    def _kept(self, name: str, step: int) -> Iterator[bytes]:
        return (record for event, record in self._events(name) if event.step <= step and not _of_session(event))

    def begin(self, step: int) -> None:
        """Begin a new file after a step; readers forget what they have seen of later ones."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        last = max((int(name.split(".")[3]) for name in self._names()), default=-1)
        self.name = f"events.out.tfevents.{last + 1:010d}.xnn"
        start = Event(step=step + 1, session_log=SessionLog(status=SessionLog.START))
        self._append([Event(file_version="brain.Event:2"), start])

    def write(self, step: int, values: Iterable[Any]) -> None:
        """Append values, each a `Summary.Value` of TensorBoard's; once this returns, a kill cannot undo it."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._append([Event(step=step, summary=Summary(value=values))])

    def _append(self, events: Iterable[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        buffer, now = io.BytesIO(), time.time()
        writer = RecordWriter(buffer)
        for event in events:
            event.wall_time = now
            writer.write(event.SerializeToString())
        with explained(RunError, f"cannot write {self.folder.path / self.name}"):
            self.folder.append(self.name, buffer.getvalue())

    def _names(self) -> list[str]:
        return [name for name in self.folder.names() if _NAME.fullmatch(name)]

    def _events(self, name: str) -> Iterator[tuple[Any, bytes]]:
        """Yield each event of a file with its record, up to the first one that is damaged."""
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event

        for record in self._records(name):
            try:
                event = Event.FromString(record[_HEADER.size : -_CHECKSUM])
            except DecodeError:
                return
            yield event, record

    def _records(self, name: str) -> Iterator[bytes]:
        """Yield the records of a file, however long it is, up to the first whose length cannot be right."""
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

        with explained(RunError, f"cannot read {self.folder.path / name}"):
            descriptor = self.folder.open(name, os.O_RDONLY)
        with os.fdopen(descriptor, "rb") as file:
            while len(header := file.read(_HEADER.size)) == _HEADER.size:
                length, checksum = _HEADER.unpack(header)
                if checksum != masked_crc32c(header[:8]) or length > _LONGEST:
                    return
                rest = file.read(length + _CHECKSUM)
                if len(rest) < length + _CHECKSUM:
                    return
                yield header + rest


def _of_session(event: Any) -> bool:
    return any(value.tag.startswith(_SESSION) for value in event.summary.value)

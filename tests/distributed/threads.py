"""Replicas as threads of one process: sums over them meet at a barrier."""

import threading
import time

import numpy as np

from xnn.distributed.world import CALLS, GRADIENTS, World


class Meeting:
    """Where the threads of so many replicas exchange arrays."""

    def __init__(self, count):
        self.count, self._barrier, self._left = count, threading.Barrier(count, timeout=30), [None] * count

    def gathered(self, rank, value):
        """Return what each replica gave, in the order of their ranks."""
        self._left[rank] = value
        self._barrier.wait()
        found = list(self._left)
        self._barrier.wait()
        return found

    def total(self, rank, array):
        parts = [np.asarray(part, dtype=np.float64) for part in self.gathered(rank, np.array(array))]
        return sum(parts[1:], parts[0]).astype(array.dtype)

    def run(self, work):
        """Return ``work(rank)`` of all replicas; raise what one of them raises."""
        results, errors = [None] * self.count, []

        def one(rank):
            try:
                results[rank] = work(rank)
            except BaseException as error:  # noqa: BLE001 - raised below, once the others have ended
                errors.append(error)
                self._barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        assert not errors
        return results


class Aborted(Exception):  # noqa: N818 - named after what happened
    """A rank has ended all."""


class ThreadWorld(World):
    """A rank among threads: one meeting for each channel."""

    def __init__(self, meetings, rank):
        self.rank = self.local_rank = rank
        self.size = self.local_size = meetings[CALLS].count
        self.host, self.hosts = 0, 1
        self._meetings = meetings
        self._received = {}

    def gathered(self, own, channel=CALLS):
        self.sent += own.nbytes * (self.size - 1)
        return np.stack(self._meetings[channel].gathered(self.rank, np.array(own)))

    def exchanged(self, own, lengths, channel=CALLS):
        assert len(own) == sum(lengths)
        self.sent += own.nbytes - lengths[self.rank] * own.itemsize
        copies = np.split(np.array(own), np.cumsum(lengths)[:-1])
        parts = [each[self.rank] for each in self._meetings[channel].gathered(self.rank, copies)]
        # As by MPI, what is returned lies in memory that the next call in the channel overwrites.
        needed = sum(part.nbytes for part in parts)
        if channel not in self._received or self._received[channel].size < needed:
            self._received[channel] = np.empty(needed, np.uint8)
        memory = self._received[channel][:needed].view(own.dtype)
        return np.stack(parts, out=memory.reshape(self.size, lengths[self.rank]))

    def joined(self, own, lengths, channel=CALLS):
        assert len(own) == lengths[self.rank]
        self.sent += (sum(lengths) - lengths[(self.rank + 1) % self.size]) * own.itemsize
        return np.concatenate(self._meetings[channel].gathered(self.rank, np.array(own)))

    def broadcast(self, message):
        return self._meetings[CALLS].gathered(self.rank, message)[0]

    def last_words(self, own, seconds):
        words = self._meetings["words"]
        words[self.rank] = own
        end = time.monotonic() + seconds
        while len(words) < self.size and time.monotonic() < end:
            time.sleep(0.001)
        return [words.get(rank) for rank in range(self.size)]

    def abort(self, code=1):
        raise Aborted(code)


def worlds(size, work):
    """Return ``work(world)`` of each rank of a world of so many threads."""
    meetings = {channel: Meeting(size) for channel in (CALLS, GRADIENTS)} | {"words": {}}
    return meetings[CALLS].run(lambda rank: work(ThreadWorld(meetings, rank)))

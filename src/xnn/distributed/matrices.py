"""Muon's matrices, shared out over the ranks: each is made orthogonal by one of them."""

import threading
from collections.abc import Sequence
from functools import partial

from xnn._typing import Array
from xnn.distributed.gradients import GradientSum
from xnn.distributed.world import CALLS, GRADIENTS, World, joined
from xnn.nn.layer import Layer
from xnn.optim import Groups, Muon, Optimizer
from xnn.optim.muon import Matrix


class SharedMatrices:
    """Which rank updates which matrix; an `xnn.optim.muon.Owners`.

    Between `begin` and `complete`, a rank knows the velocities of its own matrices only. Updated matrices are sent in
    rounds, one of each rank: a round goes, by the thread that sums gradients, while the next matrices are updated.

    Parameters
    ----------
    world : World
    model : xnn.nn.Layer
        Built.
    optimizer : Optimizer or None
        Of that model. Its matrices are those of Muon, also within `Groups`.

    Attributes
    ----------
    owners : dict of int to int
        Each matrix's rank, by where the matrix begins in the flat vector.
    """

    def __init__(self, world: World, model: Layer, optimizer: Optimizer | None) -> None:
        self._world, self._model = world, model
        optimizers = optimizer.optimizers if isinstance(optimizer, Groups) else (optimizer,)
        # A subclass may do something else with its matrices.
        self._muons = [each for each in optimizers if type(each) is Muon]
        self._parameters = {model.parameters.starts[name]: each for name, each in model._all_parameters.items()}
        self._matrices = [matrix for muon in self._muons for matrix in muon.matrices]
        trainable = [self._parameters[matrix.start].trainable for matrix in self._matrices]
        self.owners = shared_out(self._matrices, trainable, world.size)
        self._muon_of = {matrix.start: muon for muon in self._muons for matrix in muon.matrices}
        self._is_begun = False
        self._lock = threading.Lock()
        self._updated: set[int] = set()
        self._sent = 0

    def begin(self, sums: GradientSum) -> None:
        """From now on, let Muon update this rank's own matrices, and send them to the others in each step."""
        if not self._is_begun:
            self._is_begun, self._sums = True, sums
            for muon in self._muons:
                muon.share(self)

    def complete(self) -> None:
        """Give all ranks the velocities of all matrices, and let Muon update all of them again.

        Those of frozen ones too: a matrix may have been frozen since its owner last changed them.
        """
        if self._is_begun:
            self._is_begun = False
            for muon in self._muons:
                muon.share(None)
                self._gather(muon.matrices, muon.slots["velocity"])

    def own(self, matrices: Sequence[Matrix]) -> list[Matrix]:
        """Return this rank's matrices, the costliest first, so that the last one to be sent is short."""
        own = [matrix for matrix in matrices if self.owners[matrix.start] == self._world.rank]
        return sorted(own, key=_costliest_first)

    def updated(self, matrix: Matrix) -> None:
        """Send a matrix that this rank has updated, once those of earlier rounds are updated too."""
        with self._lock:
            self._updated.add(matrix.start)
            self._send(self._muon_of[matrix.start].matrices)

    def gather(self, matrices: Sequence[Matrix]) -> None:
        """Send what has not been sent of one's own matrices, and get those of the others."""
        with self._lock:
            self._updated.update(matrix.start for matrix in matrices)
            self._send(matrices)
            self._updated.clear()
            self._sent = 0
        self._sums.settle()

    def _send(self, matrices: Sequence[Matrix]) -> None:
        """Send the rounds of which this rank's matrix has been updated."""
        rounds, vector = self._rounds(matrices), self._model.parameters.flat
        for each in rounds[self._sent :]:
            if any(self.owners[m.start] == self._world.rank and m.start not in self._updated for m in each):
                break
            self._sums.soon(partial(self._gather, each, vector, GRADIENTS))
            self._sent += 1

    def _rounds(self, matrices: Sequence[Matrix]) -> list[list[Matrix]]:
        """Return those matrices that are trained in the rounds in which they are sent, the same on all ranks."""
        rounds: list[list[Matrix]] = []
        sent = [0] * self._world.size
        for matrix in sorted(matrices, key=_costliest_first):
            if self._parameters[matrix.start].trainable:
                owner = self.owners[matrix.start]
                if sent[owner] == len(rounds):
                    rounds.append([])
                rounds[sent[owner]].append(matrix)
                sent[owner] += 1
        return rounds

    def gather_gradients(self) -> None:
        """Get the gradients of the other ranks' matrices, and send them one's own."""
        self._gather(self._matrices, self._model.gradients.flat)

    def _gather(self, matrices: Sequence[Matrix], vector: Array, channel: str = CALLS) -> None:
        """Exchange the parts of a vector that are matrices."""
        backend, rank = self._model.backend, self._world.rank
        by_rank = [[m for m in matrices if self.owners[m.start] == owner] for owner in range(self._world.size)]
        with backend.current():
            own = joined([backend.to_numpy(vector[m.start : m.stop]) for m in by_rank[rank]], self._model.dtype)
            everything = self._world.joined(own, [sum(m.size for m in each) for each in by_rank], channel)
            place = 0
            for owner, each in enumerate(by_rank):
                for matrix in each:
                    if owner != rank:
                        piece = everything[place : place + matrix.size]
                        vector[matrix.start : matrix.stop] = backend.asarray(piece)
                    place += matrix.size


def _costliest_first(matrix: Matrix) -> tuple[int, int]:
    return -matrix.work, matrix.start


def shared_out(matrices: Sequence[Matrix], trainable: Sequence[bool], ranks: int) -> dict[int, int]:
    """Return a rank for each matrix: the costliest first, each for the rank that has the least to do so far.

    Frozen matrices, which cost nothing unless they are trained later, come last.
    """
    order = sorted(range(len(matrices)), key=lambda i: (not trainable[i], _costliest_first(matrices[i])))
    work, owners = [0] * ranks, {}
    for i in order:
        owner = work.index(min(work))
        owners[matrices[i].start] = owner
        work[owner] += matrices[i].work
    return owners

"""Muon's matrices, shared out over the ranks: each is made orthogonal by one of them."""

from collections.abc import Sequence

from xnn._typing import Array
from xnn.distributed.world import World, joined
from xnn.nn.layer import Layer
from xnn.optim import Groups, Muon, Optimizer
from xnn.optim.muon import Matrix


class SharedMatrices:
    """Which rank updates which matrix; an `xnn.optim.muon.Owners`.

    Between `begin` and `complete`, a rank knows the velocities of its own matrices only.

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
        self._is_begun = False

    def begin(self) -> None:
        """From now on, let Muon update this rank's own matrices, and send them to the others after each step."""
        if not self._is_begun:
            self._is_begun = True
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
        """Return this rank's matrices."""
        return [matrix for matrix in matrices if self.owners[matrix.start] == self._world.rank]

    def gather(self, matrices: Sequence[Matrix]) -> None:
        """Get the parameters of the other ranks' matrices, and send them one's own."""
        changed = [matrix for matrix in matrices if self._parameters[matrix.start].trainable]
        self._gather(changed, self._model.parameters.flat)

    def gather_gradients(self) -> None:
        """Get the gradients of the other ranks' matrices, and send them one's own."""
        self._gather(self._matrices, self._model.gradients.flat)

    def _gather(self, matrices: Sequence[Matrix], vector: Array) -> None:
        """Exchange the parts of a vector that are matrices."""
        backend, rank = self._model.backend, self._world.rank
        by_rank = [[m for m in matrices if self.owners[m.start] == owner] for owner in range(self._world.size)]
        with backend.current():
            own = joined([backend.to_numpy(vector[m.start : m.stop]) for m in by_rank[rank]], self._model.dtype)
            everything = self._world.joined(own, [sum(m.size for m in each) for each in by_rank])
            place = 0
            for owner, each in enumerate(by_rank):
                for matrix in each:
                    if owner != rank:
                        piece = everything[place : place + matrix.size]
                        vector[matrix.start : matrix.stop] = backend.asarray(piece)
                    place += matrix.size


def shared_out(matrices: Sequence[Matrix], trainable: Sequence[bool], ranks: int) -> dict[int, int]:
    """Return a rank for each matrix: the costliest first, each for the rank that has the least to do so far.

    Frozen matrices, which cost nothing unless they are trained later, come last.
    """
    costs = [matrix.size * min(matrix.rows, matrix.columns) for matrix in matrices]
    order = sorted(range(len(matrices)), key=lambda i: (not trainable[i], -costs[i], matrices[i].start))
    work, owners = [0] * ranks, {}
    for i in order:
        owner = work.index(min(work))
        owners[matrices[i].start] = owner
        work[owner] += costs[i]
    return owners

"""A model made of nothing but flat vectors, cut into runs as a test wishes."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np


@dataclass
class Segment:
    start: int
    stop: int
    decay: bool


@dataclass
class FlatModel:
    """`lengths`, `decay` and `trainable` give each parameter's; nothing is merged, so runs are as short as possible."""

    backend: object
    values: np.ndarray
    lengths: list[int]
    decay: list[bool] = field(default_factory=list)
    trainable: list[bool] = field(default_factory=list)
    buffer_values: tuple[float, ...] = (0.0, 1.0)
    dtype: str = "float64"

    def __post_init__(self):
        assert sum(self.lengths) == len(self.values)
        self.decay = self.decay or [True] * len(self.lengths)
        self.trainable = self.trainable or [True] * len(self.lengths)
        for name, vector in (
            ("parameters", self.values),
            ("gradients", np.zeros_like(self.values)),
            ("buffers", np.array(self.buffer_values)),
        ):
            flat = self.backend.asarray(np.array(vector, dtype=self.dtype))
            setattr(self, name, SimpleNamespace(flat=flat))

    def segments(self, decay_all=False):
        stops = np.cumsum(self.lengths).tolist()
        rows = zip(stops, self.lengths, self.decay, self.trainable, strict=True)
        return [Segment(stop - n, stop, decay or decay_all) for stop, n, decay, trainable in rows if trainable]

    def set_gradients(self, gradient):
        self.gradients.flat[...] = self.backend.asarray(np.array(gradient, dtype=self.dtype))

    def parameters_on_host(self):
        return np.array(self.backend.to_numpy(self.parameters.flat))

    def gradients_on_host(self):
        return np.array(self.backend.to_numpy(self.gradients.flat))

    def buffers_on_host(self):
        return np.array(self.backend.to_numpy(self.buffers.flat))

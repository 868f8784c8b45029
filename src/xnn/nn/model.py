"""What a model offers besides `forward`: predictions, and access to its parameters and buffers by their names."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from xnn import _checks
from xnn._typing import Array, ArrayLike, ArrayObject, Pullback, Shape
from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.nn.parameters import Buffer, Gradients, Misfits, Parameter, Segment, Views, misfits_of, segments
from xnn.nn.predicting import outputs_of, probabilities_of
from xnn.random import Random

if TYPE_CHECKING:
    from xnn.kernels import Computing
    from xnn.nn.layer import Layer


class Model:
    """The part of `Layer` that uses `forward` and works with arrays by name, but knows nothing of functions."""

    backend: Backend
    dtype: str
    parameters: Views
    gradients: Gradients
    buffers: Views
    trainable: bool
    input_shape: Shape
    output_shape: Shape
    _computing: "Computing"
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Buffer]
    _children: "dict[str, Layer]"

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback); see `Layer.forward`."""
        raise NotImplementedError

    def __call__(self, x: ArrayObject) -> Array:
        """Return the output for x ``(batch, *input_shape)`` in inference: no dropout, running statistics."""
        _checks.no_list("x", x)
        y, _ = self.forward(x)
        return y

    def predict(self, x: ArrayLike, batch_size: int = 256) -> Array:
        """Return the outputs for x ``(n, *input_shape)``, as in inference, computed batch by batch.

        The outputs are the model's own, such as the scores (logits) of classes; `predict_proba` makes them
        probabilities, and ``model.predict(x).argmax(-1)`` the classes.

        Parameters
        ----------
        x : array or nested list of numbers
            Of any length. Numbers are cast to the model's dtype, and are not normalized: give them as the model was
            trained on them.
        batch_size : int
            How many inputs are computed at once: what bounds the memory.

        Returns
        -------
        array
            Of the model's library, where x is; otherwise of NumPy.

        Raises
        ------
        ValueError, TypeError
            If x is no batch, or does not hold numbers.
        """
        return outputs_of(self, x, batch_size)

    def predict_proba(self, x: ArrayLike, batch_size: int = 256) -> Array:
        """Return the probabilities of classes: the softmax of `predict` along the last axis.

        Raises
        ------
        ValueError
            If the model's outputs are not scores of two or more classes, or are probabilities already.
        """
        return probabilities_of(self, x, batch_size)

    def computing(self) -> AbstractContextManager[None]:
        """Return a context for many calls, such as training; a call outside it enters it on its own where needed.

        See `xnn.kernels.Computing`.
        """
        return self._computing.entered()

    def segments(self, decay_all: bool = False) -> list[Segment]:
        """Return the runs of trainable parameters in ``parameters.flat``, split by whether weight decay applies.

        With `decay_all` it applies to biases and norms too.
        """
        return self._segments[decay_all]

    def freeze(self, prefix: str = "") -> None:
        """Stop training the parameter named `prefix`, or those whose names begin with ``prefix.``; all by default.

        Like the architecture, this is up to the program: no state or checkpoint records what is frozen.
        """
        self._set_trainable(prefix, trainable=False)

    def unfreeze(self, prefix: str = "") -> None:
        """Undo `freeze`."""
        self._set_trainable(prefix, trainable=True)

    def layout(self) -> list[dict[str, Any]]:
        """Return the index of the flat vector, ready for JSON: name, shape and start of each parameter."""
        starts = self.parameters.starts
        return [
            {"name": name, "shape": list(p.shape), "start": starts[name]} for name, p in self._all_parameters.items()
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all parameters and buffers as NumPy arrays, by name."""
        return {name: self.backend.to_numpy(entry.value, copy=True) for name, entry in self._all_entries.items()}

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> Misfits:
        """Set parameters and buffers from arrays by name, as `state_dict` gives them.

        Parameters
        ----------
        state : mapping of name to array
        strict : bool
            Whether all must fit. If False, what fits by name and shape is taken, and the rest stays as it is.

        Returns
        -------
        Misfits
            What did not fit; with `strict`, nothing.

        Raises
        ------
        ValueError
            With `strict`, if a name is missing or unexpected, or a shape differs; nothing has been changed then.
        """
        entries = self._all_entries
        misfits = misfits_of(entries, state)
        if strict:
            misfits.check(entries, state)
        with self.backend.current():
            for name in entries.keys() - {*misfits.missing, *misfits.mismatched}:
                entries[name].value[...] = self.backend.asarray(state[name], dtype=self.dtype)
        return misfits

    def _adopt_arrays(self, layers: "Mapping[str, Layer]") -> None:
        """Make the flat vectors and give each parameter and buffer its view, which keeps the values it held before."""
        self._all_parameters: dict[str, Parameter] = _named(layers, "_parameters")
        self._all_buffers: dict[str, Buffer] = _named(layers, "_buffers")
        # Decayed parameters come first, so that an optimizer has two runs to update, not two for each layer.
        order = sorted(self._all_parameters, key=lambda name: not self._all_parameters[name].decay)
        self.parameters = Views(self._all_parameters, order, self.backend, self.dtype)
        self.buffers = Views(self._all_buffers, list(self._all_buffers), self.backend, self.dtype)
        views = {**self.parameters, **self.buffers}
        for name, entry in self._all_entries.items():
            if entry.value is not None:
                views[name][...] = self.backend.asarray(entry.value, dtype=self.dtype)
            entry.value = views[name]
        self.gradients = Gradients(self._all_parameters, order, self.backend, self.dtype)
        for parameter in self._all_parameters.values():
            parameter.operand = parameter.value

    @property
    def _all_entries(self) -> dict[str, Buffer]:
        return {**self._all_parameters, **self._all_buffers}

    def _own_entries(self) -> list[Buffer]:
        return [*self._parameters.values(), *self._buffers.values()]

    def _draw(self, seed: int) -> None:
        host = make_backend("numpy")
        for name, entry in self._all_entries.items():
            values = entry.initializer(entry.shape, Random(host, seed, f"initial/{name}"))
            entry.value[...] = self.backend.asarray(values, dtype=self.dtype)

    def _set_trainable(self, prefix: str, trainable: bool) -> None:
        all_parameters = self._all_parameters.items()
        chosen = [p for name, p in all_parameters if not prefix or f"{name}.".startswith(f"{prefix}.")]
        if not chosen:
            names = ", ".join(self._all_parameters)
            raise ValueError(f"no parameter is named {prefix!r} or lies under it; there are: {names}")
        for parameter in chosen:
            parameter.trainable = trainable
            parameter.gradient[...] = 0.0
        self._refresh()

    def _refresh(self) -> None:
        """Recompute what depends on which parameters are trainable; it is kept because every step asks for it."""
        self._mark_trainable()
        starts = self.parameters.starts
        self._segments = [segments(self._all_parameters, starts, decay_all) for decay_all in (False, True)]

    def _mark_trainable(self) -> bool:
        inside = [layer._mark_trainable() for layer in self._children.values()]
        self.trainable = any(inside) or any(p.trainable for p in self._parameters.values())
        return self.trainable

    def __getattr__(self, name: str) -> Any:
        # Called only for attributes that are missing: before `build`, nearly all of them.
        if "_children" in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r} yet: call build(input_shape) first")


def _named(layers: "Mapping[str, Layer]", kind: str) -> dict[str, Any]:
    """Return the layers' entries of one kind by their names in the model."""
    entries = [(f"{prefix}.{name}", e) for prefix, layer in layers.items() for name, e in getattr(layer, kind).items()]
    return {name.removeprefix("."): entry for name, entry in entries}

"""SIGINT, SIGTERM and SIGHUP: the first signal asks training to stop and save, the second one ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from xnn.training.callbacks import Callback

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

HANGUP = getattr(signal, "SIGHUP", None)
"""None on Windows."""

NUMBERS = tuple(number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None)


class StopSignals(Callback):
    """Passes signals on to the trainer that it is a callback of.

    Attributes
    ----------
    received
        The signal that was received; None until then.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._trainer: Trainer | None = None

    def fit_begin(self, trainer: "Trainer") -> None:
        """Pass signals on to the trainer from now on."""
        self._trainer = trainer

    def fit_end(self, trainer: "Trainer") -> None:
        """Let a signal end the program again."""
        self.detach()

    def detach(self) -> None:
        """Pass no more signals on; for a training that an error ended, so that `fit_end` was not called."""
        self._trainer = None

    @property
    def exit_code(self) -> int:
        """Exit code of a program that the signal has ended, or SIGINT's if none was received."""
        return 128 + (self.received or signal.SIGINT)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals during a ``with`` block; only the main thread can.

        A signal that is ignored stays ignored, as `nohup` and a shell's ``&`` require.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heeded = [number for number in NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        second = self.received is not None
        if second and number == HANGUP:
            return  # when a terminal closes, both its shell and the system send it
        self.received = signal.Signals(number)
        if second or self._trainer is None:
            raise KeyboardInterrupt
        self._trainer.request_stop(self.received.name, to_resume=True)

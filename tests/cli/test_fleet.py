"""Several processes at once: what goes wrong with one of them."""

import io
import threading

import pytest
from rich.console import Console

from xnn.cli.fleet import Child, Fleet
from xnn.errors import RunError


class Two(Fleet):
    """The first goes on until it is stopped, the second cannot go on."""

    def __init__(self):
        super().__init__("xnn-test", [Child("long"), Child("broken")], Console(file=io.StringIO()))
        self.told, self.in_time = threading.Event(), False

    def run(self, child):
        if child.name == "broken":
            raise RunError("the disk is full")
        self.in_time = self.told.wait(10)

    def request_stop(self, reason, *, to_resume):
        super().request_stop(reason, to_resume=to_resume)
        self.told.set()


def test_a_fault_in_one_stops_the_others():
    fleet = Two()
    with pytest.raises(RunError, match="the disk is full"):
        fleet.sail(2)
    assert fleet.in_time

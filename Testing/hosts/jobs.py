"""Jobs that try a host; they lie in a file of their own, so that a worker can import them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from DeepImagingLib.errors import CancelledError, InputError
from DeepImagingLib.hosts import Context
from DeepImagingLib.inference.progress import Progress


@dataclass(frozen=True)
class Echo:
    """Gives back what it was given."""

    value: Any

    def perform(self, context: Context) -> Any:
        return self.value


@dataclass(frozen=True)
class Steps:
    """Walks so many steps, tells of each and stops when it is asked to."""

    count: int
    seconds: float = 0.01

    def perform(self, context: Context) -> int:
        for step in range(self.count):
            context.progress(Progress("Walking", step / self.count))
            if context.cancel():
                raise CancelledError("The run was cancelled; nothing was kept.")
            time.sleep(self.seconds)
        return self.count


@dataclass(frozen=True)
class Fails:
    """Raises what it was told to."""

    error: Exception

    def perform(self, context: Context) -> None:
        raise self.error


@dataclass(frozen=True)
class Kills:
    """Is killed like by the system's out-of-memory killer."""

    def perform(self, context: Context) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Hangs:
    """Says that it began, and never comes back; with Python's lock held where asked to."""

    keeps_lock: bool = False
    seconds: float = 1000.0

    def perform(self, context: Context) -> None:
        context.progress(Progress("Hanging", 0.0))
        if self.keeps_lock:
            ctypes.PyDLL(None).usleep(int(self.seconds * 1e6))
        time.sleep(self.seconds)


@dataclass(frozen=True)
class Prints:
    """Writes rubbish to where programs write."""

    def perform(self, context: Context) -> str:
        for stream in (1, 2):
            os.write(stream, os.urandom(100_000) + b"\n")
        return "heard"


@dataclass(frozen=True)
class Leaves:
    """Ends its process as `sys.exit` in someone's code does."""

    def perform(self, context: Context) -> None:
        sys.exit(3)


@dataclass(frozen=True)
class Number:
    """Tells the number of the process."""

    def perform(self, context: Context) -> int:
        return os.getpid()


@dataclass(frozen=True)
class Sized:
    """Gives so many bytes, and dies while they are sent where asked to."""

    mebibytes: int
    dies: bool = False

    def perform(self, context: Context) -> Any:
        array = np.arange(self.mebibytes << 17, dtype=np.int64).reshape(4, -1)
        return _Deadly(array) if self.dies else array


@dataclass(frozen=True)
class _Deadly:
    """Kills the process that pickles it."""

    array: Any = field(repr=False)

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().__reduce__()


@dataclass(frozen=True)
class Forks:
    """Has a child that goes on, then dies or waits."""

    note: Path
    dies: bool

    def perform(self, context: Context) -> None:
        child = os.fork()
        if not child:
            time.sleep(1000)
        self.note.write_text(str(child))
        context.progress(Progress("Hanging", 0.0))
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1000)


@dataclass(frozen=True)
class Pretends:
    """Answers with a class of this library that does something when it is made, or with pointers of its own choice."""

    what: str

    def perform(self, context: Context) -> Any:
        return _Pretended(self.what)


@dataclass(frozen=True)
class _Pretended:
    what: str

    def __reduce__(self) -> Any:
        from DeepImagingLib.hosts.parcel import _array
        from DeepImagingLib.hosts.process import Process

        return (Process, (1,)) if self.what == "process" else (_array, (b"A" * 16, "O", (2,), (0,)))


@dataclass(frozen=True)
class Sneaks:
    """Answers with an object that runs code where it is unpickled."""

    path: Path

    def perform(self, context: Context) -> Any:
        return _Sneaky(self.path)


@dataclass(frozen=True)
class _Sneaky:
    path: Path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def wrong_input() -> InputError:
    return InputError("The input is 7; give 8.")

"""The worker: does one job after the other for the process that started it, and ends with it.

Run as `python -m DeepImagingLib.hosts.serve`; where to listen comes on standard input.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import MemoryLimitError
from DeepImagingLib.hosts.block import Block, create
from DeepImagingLib.hosts.host import in_one_sentence
from DeepImagingLib.hosts.job import Context
from DeepImagingLib.hosts.lean import keep_monai_lean
from DeepImagingLib.hosts.parcel import Parcel, message, needed, unpack
from DeepImagingLib.hosts.warm import WarmModels
from DeepImagingLib.inference.progress import Progress

if TYPE_CHECKING:
    from DeepImagingLib.errors import DeepImagingError

NICENESS = 5
FIRST_TO_GO = 500
"""Linux's out-of-memory killer takes the highest: the worker, and not the application with the user's scene."""
TOLD_EVERY = 0.05
IDLE_SECONDS = 600.0
"""After so long without a job, the models are let go of."""
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def main() -> None:
    """Serve until the other end is gone."""
    bound, *place = _first_line().split()
    end_with_parent(bound == "1")
    be_modest()
    keep_monai_lean()
    with _connection(*place) as connection, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send_bytes(message(os.getpid()))
        Service(connection).serve()


def _first_line() -> str:
    """Read a line of standard input, and not a byte more: its end is watched."""
    return b"".join(iter(lambda: os.read(0, 1), b"\n")).decode()


def _connection(place: str, key: str = "") -> Connection[Any, Any]:
    """Return the connection to the other end: an inherited descriptor, or who comes to a pipe with the right key."""
    if not key:
        return Connection(int(place))
    with Listener(place, authkey=bytes.fromhex(key)) as listener:
        return listener.accept()


def end_with_parent(bound: bool) -> None:
    """Make sure that this process ends when its parent does, however that ends and whatever is being done here.

    Args:
        bound: Whether it may end with the thread that started it as well.
    """
    threading.Thread(target=_end_at_eof, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to understand
    if bound and sys.platform == "linux":
        import ctypes

        # Code that keeps Python's lock would keep the thread above from noticing.
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _end_at_eof() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def be_modest() -> None:
    """Let the GUI go first."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # some containers forbid it, and nothing depends on it
            Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))


class Service:
    """Answers one connection.

    Messages in: ("hello",), answered with the same; ("job", pickle, sizes); ("cancel",).
    Messages out: ("progress", stage, fraction, seconds left); ("done", pickle, sizes); ("failed", class, sentence).
    Where `sizes` aren't empty, a block with the arrays follows.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._models = WarmModels()
        self._cancelled = False
        self._told: tuple[str, float] = ("", 0.0)

    def serve(self) -> None:
        """Do jobs as they come; raises EOFError when the other end is gone."""
        while True:
            if not self._connection.poll(IDLE_SECONDS):
                self._models.clear()
            kind, *parts = self._heard()
            if kind == "hello":
                self._say("hello")
            elif kind == "job":
                self._answer(*parts)

    def _answer(self, text: bytes, sizes: tuple[int, ...]) -> None:
        block = Block.receive(self._connection, needed(sizes)) if needed(sizes) else None
        if block is not None:
            block.release()
        self._cancelled, self._told = False, ("", 0.0)
        try:
            job = unpack(text, sizes, block, believed=True)
            value = job.perform(Context(self._models, self._tell, self._is_cancelled))
            del job, block
            self._send(value)
        except (Exception, SystemExit) as error:  # foreign code may end the program it is in
            self._fail(in_one_sentence(error))

    def _send(self, value: Any) -> None:
        parcel = Parcel(value)
        block = create(parcel.total) if parcel.total else None
        if block is not None:
            collections.deque(parcel.fill(block), maxlen=0)
        self._say("done", parcel.text, parcel.sizes)
        if block is not None:
            block.send(self._connection)
            block.release()

    def _fail(self, error: DeepImagingError) -> None:
        if isinstance(error, MemoryLimitError):
            self._models.clear()
        self._say("failed", type(error).__name__, str(error))

    def _tell(self, progress: Progress) -> None:
        stage, when = self._told
        now = time.perf_counter()
        if progress.stage != stage or now - when > TOLD_EVERY:
            self._told = (progress.stage, now)
            self._say("progress", progress.stage, progress.fraction, progress.seconds_left)

    def _is_cancelled(self) -> bool:
        while self._connection.poll():
            self._cancelled |= self._heard()[0] == "cancel"
        return self._cancelled

    def _heard(self) -> Any:
        return unpack(self._connection.recv_bytes())

    def _say(self, *parts: Any) -> None:
        self._connection.send_bytes(message(*parts))


if __name__ == "__main__":
    main()

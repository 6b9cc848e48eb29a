"""The host beside the GUI: a second process that stays alive with its models, so that nothing freezes here."""

from __future__ import annotations

import atexit
import pickle
import time
import weakref
from collections.abc import Generator
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from DeepImagingLib import errors
from DeepImagingLib.errors import DeepImagingError, WorkerError
from DeepImagingLib.hosts.block import Block, reserve
from DeepImagingLib.hosts.handle import State
from DeepImagingLib.hosts.host import Course, Host, cancelled
from DeepImagingLib.hosts.parcel import Parcel, message, needed, unpack
from DeepImagingLib.hosts.process import Process, spare_threads
from DeepImagingLib.inference.progress import Progress

if TYPE_CHECKING:
    from DeepImagingLib.hosts.handle import Handle
    from DeepImagingLib.hosts.job import Job

MOMENT = 0.05
ANSWER_SECONDS = 2.0
END_SECONDS = 1.0
NONSENSE = "The worker answered with what is no result, so it was ended; the next run starts a new one."


class WorkerHost(Host):
    """Does jobs in a process of its own, started with the first and kept for the next.

    `poll` never takes long: arrays are copied in slices, and all else has to be small. Where the process dies, the
    job fails with WorkerError and the next one starts a new process.

    Args:
        threads: How many the process may use; by default all cores but one.

    Example:
        >>> host = WorkerHost()
        >>> handle = host.submit(RunJob("torso_ct_segmentation", scene.voxels(node)))  # doctest: +SKIP
        >>> timer.connect("timeout()", host.poll)  # doctest: +SKIP
    """

    def __init__(self, threads: int | None = None) -> None:
        super().__init__()
        self.threads = threads or spare_threads()
        self._process: Process | None = None
        atexit.register(_close, weakref.ref(self))

    @property
    def pid(self) -> int | None:
        """The number of the process, None where there is none."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """Cancel everything and end the process."""
        self.cancel_all()
        self._end_process()
        while self._current and not self._polling:
            self.poll(0.0)

    def _way(self, job: Job, handle: Handle) -> Course:
        try:
            process = yield from self._connected(handle)
            yield from self._hand_over(job, handle, process)
            del job
            yield from self._listen(handle, process)
        except WorkerError as error:  # it didn't start, or isn't to be believed
            raise self._gone(handle, error) from error
        except (OSError, EOFError) as error:  # the process has gone, or goes
            yield from self._ending()
            raise self._gone(handle) from error

    def _connected(self, handle: Handle) -> Generator[bool, None, Process]:
        """Return the process once it can be talked to; one that ended while there was nothing to do is replaced."""
        process = self._process
        if process is None or not (yield from _answers(process)):
            self._end_process()
            handle.report(Progress("Starting", 0.0))
            process = self._process = Process(self.threads)
        while True:
            if handle.cancel_asked:
                raise EOFError("cancelled while it started")
            if process.connect():
                return process
            yield False

    def _ending(self) -> Course:
        """Wait a little until it is known how the process ended."""
        end = time.perf_counter() + END_SECONDS
        while self._process is not None and not self._process.has_ended and time.perf_counter() < end:
            yield False

    def _hand_over(self, job: Job, handle: Handle, process: Process) -> Course:
        parcel = Parcel(job)
        block = (yield from reserve(parcel.total)) if parcel.total else None
        try:
            yield from _filled(parcel, block, handle)
            process.reached.send_bytes(message("job", parcel.text, parcel.sizes))
            if block is not None:
                block.send(process.reached)
        finally:
            if block is not None:
                block.release()

    def _listen(self, handle: Handle, process: Process) -> Course:
        """Take messages until the job is answered."""
        connection, told = process.reached, False
        while True:
            if handle.cancel_asked and not told:
                connection.send_bytes(message("cancel"))
                told = True
            if time.perf_counter() > handle.cancel_by:
                raise EOFError("it didn't stop in time")
            if not connection.poll():
                if process.has_ended and not connection.poll():  # a job's child may still hold the other end
                    raise EOFError("the process has ended")
                yield False
                continue
            if self._hear(connection, handle):
                return
            yield True

    def _hear(self, connection: Connection[Any, Any], handle: Handle) -> bool:
        """Take one message; returns whether it was the answer."""
        try:
            kind, *parts = unpack(connection.recv_bytes())
            if kind == "progress":
                handle.report(Progress(*parts))
            elif kind == "failed":
                handle.finish(error=_error(*parts))
            else:
                handle.finish(_received(connection, *parts))
        except (pickle.UnpicklingError, AttributeError, IndexError, TypeError, ValueError) as error:
            raise WorkerError(NONSENSE) from error
        return handle.done

    def _gone(self, handle: Handle, error: DeepImagingError | None = None) -> DeepImagingError:
        """Return what a job ends with whose process died or was ended, and make room for a new one."""
        if handle.state is State.CANCELLING:
            error = cancelled()
        elif error is None:
            error = self._process.ended() if self._process else WorkerError("The worker was ended; run again.")
        self._end_process()
        return error

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _rest(self) -> None:
        if self._process is not None:
            self._process.rest(MOMENT)


def _answers(process: Process) -> Generator[bool, None, bool]:
    """Return whether the process of an earlier job is still there."""
    end = time.perf_counter() + ANSWER_SECONDS
    try:
        connection = process.reached
        connection.send_bytes(message("hello"))
        while not connection.poll():
            if time.perf_counter() > end or process.has_ended:
                return False
            yield False
        return bool(unpack(connection.recv_bytes()) == ("hello",))
    except (OSError, EOFError, pickle.UnpicklingError):
        return False


def _filled(parcel: Parcel, block: Block | None, handle: Handle) -> Course:
    """Copy the images into the block, slice by slice."""
    copied = 0
    for size in parcel.fill(block) if block is not None else ():
        if handle.cancel_asked:
            raise cancelled()
        copied += size
        handle.report(Progress("Sending the images", copied / parcel.total))
        yield True


def _received(connection: Connection[Any, Any], text: bytes, sizes: tuple[int, ...]) -> Any:
    block = Block.receive(connection, needed(sizes)) if needed(sizes) else None
    if block is not None:
        block.release()
    return unpack(text, sizes, block)


def _error(name: str, sentence: str) -> DeepImagingError:
    """Return the error of that class, as the worker raised it."""
    kind = getattr(errors, name, WorkerError)
    return kind(sentence) if isinstance(kind, type) and issubclass(kind, DeepImagingError) else WorkerError(sentence)


def _close(reference: weakref.ref[WorkerHost]) -> None:
    host = reference()
    if host is not None:
        host.close()

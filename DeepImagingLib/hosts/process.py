"""The worker's process: which interpreter, what it is given, how it is reached, how it is ended."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any

from DeepImagingLib.errors import WorkerError
from DeepImagingLib.hosts.parcel import unpack

log = logging.getLogger(__name__)

TOP = Path(__file__).parents[2]
"""The folder that holds the library, so that the worker finds the very same."""
SERVE = "DeepImagingLib.hosts.serve"
START_SECONDS = 60.0
LAST_WORDS = 1 << 16
NEXT = "The next run starts a new one."
MEMORY = "most often memory ran out: close other programs or limit the run to a region"
HARD_SIGNALS = {"SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS"}
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def interpreter() -> str:
    """Return PythonSlicer where that file is, else this very Python."""
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    folders = [Path(sys.executable).parent] if sys.executable else []
    if "SLICER_HOME" in os.environ:
        folders.append(Path(os.environ["SLICER_HOME"], "bin"))
    found = [str(folder / name) for folder in folders if (folder / name).is_file()]
    return (found or [sys.executable])[0]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spare_threads() -> int:
    """Return how many threads leave one core to the GUI."""
    return max(cores() - 1, 1)


class Process:
    """A worker that has been started.

    Nobody else can reach it: on POSIX it inherits one end of a pair of sockets that have no name, on Windows it listens
    on a pipe that asks for a key.

    Args:
        threads: How many its libraries may use.

    Attributes:
        pid: Its process number; once it is reached, that of Python itself, since PythonSlicer is a launcher.

    Raises:
        WorkerError: No process can be started.
    """

    def __init__(self, threads: int) -> None:
        self._started = time.perf_counter()
        self._connection: Connection[Any, Any] | None = None
        self._answered = False
        self._address, self._key = "", b""  # of a pipe of Windows
        self._popen: subprocess.Popen[bytes] | None = None
        try:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process is ended
            self._start(os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | _path())
        except OSError as error:
            self.kill()
            raise WorkerError(
                f"The worker can't be started ({error.strerror}); check {Path(interpreter()).name} and the temporary "
                "folder."
            ) from error

    def connect(self) -> bool:
        """Try to reach it; returns whether it is reached.

        Raises:
            WorkerError: It has ended, or can't be reached for too long.
            OSError, EOFError: It ended just now.
        """
        if self._answered:
            return True
        if self.has_ended:
            raise self.ended()
        if self._connection is None:
            self._connection = _client(self._address, self._key)
        if self._connection is not None and self._connection.poll():
            (self.pid,) = unpack(self._connection.recv_bytes())
            self._answered = True
        elif time.perf_counter() - self._started > START_SECONDS:
            raise WorkerError(f"The worker didn't start within {START_SECONDS:g} s; try again.")
        return self._answered

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._popen is None or self._popen.poll() is not None

    @property
    def reached(self) -> Connection[Any, Any]:
        """The connection; raises EOFError where there is none."""
        if self._connection is None or self._connection.closed:
            raise EOFError("not connected")
        return self._connection

    def ended(self) -> WorkerError:
        """Return the error that says how it ended."""
        code = self._popen.poll() if self._popen is not None else None
        self._log_errors()
        if code is None:
            return WorkerError(f"The worker no longer answers. {NEXT}")
        why, advice = f"exit code {code}", "the log at debug level tells its last words"
        if code < 0:
            name = signal.Signals(-code).name
            why = f"the system or someone else ended it, signal {-code}"
            advice = MEMORY if name in HARD_SIGNALS else f"it was asked to end ({name})"
        return WorkerError(f"The worker ended in the middle of the run ({why}); {advice}. {NEXT}")

    def rest(self, seconds: float) -> None:
        """Wait that long, or until it sends something or ends."""
        if self._connection is None or self._connection.closed:
            time.sleep(seconds)
        else:
            wait([self._connection], seconds)

    def kill(self) -> None:
        """End it at once, and what its jobs may have started."""
        if self._popen is not None:
            for end in (self._kill_all, self._popen.kill, self._stdin().close):
                with contextlib.suppress(OSError):  # it has ended already
                    end()
            self._popen.wait()
        if self._connection is not None:
            self._connection.close()
        if hasattr(self, "_errors"):
            self._errors.close()

    def _start(self, environment: dict[str, str]) -> None:
        if sys.platform == "win32":
            self._address, self._key = rf"\\.\pipe\deepimaging-{secrets.token_hex(16)}", secrets.token_bytes(32)
            self._launch(environment, f"{self._address} {self._key.hex()}", ())
        else:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                self._launch(environment, str(theirs.fileno()), (theirs.fileno(),))
                self._connection = Connection(ours.detach())

    def _launch(self, environment: dict[str, str], place: str, descriptors: tuple[int, ...]) -> None:
        self._popen = subprocess.Popen(
            [interpreter(), "-m", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            cwd=TOP,
            env=environment,
            pass_fds=descriptors,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.pid = self._popen.pid
        # Linux ends it with the thread that started it; of other threads than the main one it can't be told whether
        # they live as long as it is needed.
        bound = threading.current_thread() is threading.main_thread()
        # Its standard input stays open for as long as we live: its end tells the worker that we don't.
        self._stdin().write(f"{int(bound)} {place}\n".encode())
        self._stdin().flush()

    def _kill_all(self) -> None:
        if sys.platform == "win32":
            os.kill(self.pid, signal.SIGTERM)
        elif self._popen is not None:
            os.killpg(self._popen.pid, signal.SIGKILL)

    def _stdin(self) -> Any:
        return self._popen.stdin if self._popen is not None else None

    def _log_errors(self) -> None:
        if self._errors.closed:
            return
        self._errors.seek(max(self._errors.seek(0, os.SEEK_END) - LAST_WORDS, 0))
        lines = self._errors.read().decode(errors="replace").splitlines()
        if lines:
            log.debug("the worker's last words: %s", " | ".join(lines[-5:]))


def _path() -> dict[str, str]:
    """Return where Python looks for modules, with the library's folder first."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(TOP), *([before] if before else [])])}


def _client(address: str, key: bytes) -> Connection[Any, Any] | None:
    """Return a connection to who listens there, None where nobody does yet."""
    try:
        return Client(address, authkey=key)
    except (FileNotFoundError, ConnectionRefusedError):
        return None

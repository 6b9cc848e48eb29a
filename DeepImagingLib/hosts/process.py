"""The worker's process: which interpreter, what it is given, how it is ended."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any

from DeepImagingLib.errors import WorkerError
from DeepImagingLib.hosts.parcel import unpack

log = logging.getLogger(__name__)

TOP = Path(__file__).parents[2]
"""The folder that holds the library; the worker is started in it, so that it finds the very same."""
SERVE = "DeepImagingLib.hosts.serve"
START_SECONDS = 60.0
END_SECONDS = 1.0
NEXT = "The next run starts a new one."
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


def spare_threads() -> int:
    """Return how many threads leave one core to the GUI."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores - 1, 1)


class Process:
    """A worker that has been started. Nobody else can reach it: the socket is in a folder of ours, and has a key.

    Args:
        threads: How many its libraries may use.

    Attributes:
        pid: Its process number; once it is reached, that of Python itself, since PythonSlicer is a launcher.
        connection: To it, None until it is reached.

    Raises:
        WorkerError: No process can be started.
    """

    def __init__(self, threads: int) -> None:
        self.connection: Connection[Any, Any] | None = None
        self._key = secrets.token_bytes(32)
        self._started = time.perf_counter()
        self._folder = "" if sys.platform == "win32" else tempfile.mkdtemp(prefix="deepimaging-")
        self._address = rf"\\.\pipe\deepimaging-{secrets.token_hex(16)}" if not self._folder else f"{self._folder}/s"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process is ended
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        try:
            self._popen = subprocess.Popen(
                [interpreter(), "-m", SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                cwd=TOP,
                env=environment,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            self.pid = self._popen.pid
            # Its standard input stays open for as long as we live: its end tells the worker that we don't.
            self._stdin().write(f"{self._address}\n{self._key.hex()}\n".encode())
            self._stdin().flush()
        except OSError as error:
            self._clean()
            raise WorkerError(
                f"The worker can't be started ({error.strerror}); check {Path(interpreter()).name}."
            ) from error

    def connect(self) -> bool:
        """Try to reach it; returns whether it is reached.

        Raises:
            WorkerError: It has ended, or can't be reached for too long.
        """
        if self.connection is None:
            if self.has_ended:
                raise self.ended()
            try:
                connection = Client(self._address, authkey=self._key)
                (self.pid,) = unpack(connection.recv_bytes())
                self.connection = connection
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.perf_counter() - self._started > START_SECONDS:
                    raise WorkerError(f"The worker didn't start within {START_SECONDS:g} s; try again.") from error
            except (OSError, EOFError) as error:
                raise self.ended() from error
        return self.connection is not None

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._popen.poll() is not None

    @property
    def reached(self) -> Connection[Any, Any]:
        """The connection; raises EOFError where there is none."""
        if self.connection is None:
            raise EOFError("not connected")
        return self.connection

    def ended(self) -> WorkerError:
        """Return the error that says how it ended."""
        try:
            code = self._popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return WorkerError(f"The worker no longer answers. {NEXT}")
        self._log_errors()
        if code < 0:
            why = f"the system or someone else ended it, signal {-code}"
            advice = "most often memory ran out: close other programs or limit the run to a region"
        else:
            why, advice = f"exit code {code}", "the log at debug level tells its last words"
        return WorkerError(f"The worker ended in the middle of the run ({why}); {advice}. {NEXT}")

    def rest(self, seconds: float) -> None:
        """Wait that long, or until it sends something or ends."""
        if self.connection is None:
            time.sleep(seconds)
        else:
            wait([self.connection], seconds)

    def kill(self) -> None:
        """End it at once."""
        if self.pid != self._popen.pid:
            with contextlib.suppress(OSError):  # it has ended already
                os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._popen.kill()
        self._popen.wait()
        self._clean()

    def _stdin(self) -> Any:
        return self._popen.stdin

    def _log_errors(self) -> None:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        if lines:
            log.debug("the worker's last words: %s", " | ".join(lines[-5:]))

    def _clean(self) -> None:
        if self.connection is not None:
            self.connection.close()
        if hasattr(self, "_popen"):
            self._stdin().close()
        self._errors.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

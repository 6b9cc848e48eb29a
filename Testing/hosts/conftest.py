"""Hosts, and what must not be left behind by them."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from DeepImagingLib.hosts import Handle, Host, InProcessHost, WorkerHost
from Testing.waiting import until


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerHost]:
    """One for all tests of a file: whatever one did to it, the next must find it working."""
    host = WorkerHost(threads=1)
    yield host
    host.close()
    _check_that_nothing_is_left()


@pytest.fixture(scope="module")
def in_process() -> InProcessHost:
    return InProcessHost()


@pytest.fixture(params=["in_process", "worker"])
def host(request: pytest.FixtureRequest) -> Host:
    """Each host in turn: what is promised holds for both."""
    return request.getfixturevalue(request.param)


def _check_that_nothing_is_left() -> None:
    """No worker runs, and no shared memory is held."""
    assert until(lambda: not workers(), 5)
    assert not open_blocks()


def open_blocks() -> list[str]:
    """What this process holds open of shared memory, where the system tells; garbage in circles doesn't count."""
    gc.collect()
    descriptors = Path("/proc/self/fd")
    links = [os.readlink(link) for link in descriptors.iterdir() if link.is_symlink()] if descriptors.is_dir() else []
    return [link for link in links if "memfd:DeepImaging" in link]


def workers(parent: int | None = None) -> list[psutil.Process]:
    """The workers that a process has started."""
    found = psutil.Process(parent).children(recursive=True)
    return [process for process in found if "DeepImagingLib.hosts.serve" in _words(process)]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.NoSuchProcess:
        return []


def go_on_until_stage(handle: Handle, host: Host, stage: str, seconds: float = 20) -> None:
    """Let the host go on until the job tells of a stage."""
    end = time.perf_counter() + seconds
    while handle.progress is None or handle.progress.stage != stage:
        assert not handle.done, handle.error
        assert time.perf_counter() < end, f"still at {handle.progress}"
        host.wait()

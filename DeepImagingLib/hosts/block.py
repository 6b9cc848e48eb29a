"""A block of memory that two processes share, and that is gone with the last of them, however they end.

It has no name in any folder: on POSIX its file descriptor is handed over (anonymous memory on Linux, which the size
of /dev/shm doesn't limit; an unlinked temporary file elsewhere, and where memory is short), on Windows it is a mapping
that lives as long as someone holds it. All of it is reserved when it is made, since memory that turns out to be missing
when it is written to ends the process (SIGBUS).
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import uuid
from collections.abc import Generator, Iterator
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any, cast

from DeepImagingLib.errors import MemoryLimitError

MIB = 1 << 20
STEP = 32 * MIB
"""Reserved at once: some milliseconds."""


class Block:
    """Shared memory.

    Attributes:
        memory: Its bytes; arrays that look into it keep it alive.
    """

    def __init__(self, memory: mmap.mmap, key: int | str) -> None:
        self.memory = memory
        self._key = key

    def send(self, connection: Connection[Any, Any]) -> None:
        """Hand it to the process at the other end, which calls `receive`; then it may be closed here."""
        if isinstance(self._key, int):
            reduction.send_handle(connection, self._key, 0)
        else:
            connection.send_bytes(self._key.encode())

    @classmethod
    def receive(cls, connection: Connection[Any, Any], size: int) -> Block:
        """Take what the other end sends; raises OSError or EOFError where it has ended meanwhile."""
        if sys.platform == "win32":
            name = connection.recv_bytes().decode()
            return cls(mmap.mmap(-1, size, tagname=name), name)
        try:
            descriptor = reduction.recv_handle(connection)
        except RuntimeError as error:  # the other end was closed in between
            raise EOFError("no block came") from error
        return _mapped(descriptor, size)

    def release(self) -> None:
        """Let go of the descriptor; the memory stays for as long as someone looks into it."""
        if isinstance(self._key, int) and self._key >= 0:
            os.close(self._key)
            self._key = -1


def reserve(size: int) -> Generator[bool, None, Block]:
    """Reserve `size` bytes, step by step for a GUI's sake; returns the block.

    Raises:
        MemoryLimitError: Neither memory nor the temporary folder has them.
    """
    if sys.platform == "win32":
        name = f"DeepImaging-{uuid.uuid4().hex}"
        return Block(mmap.mmap(-1, size, tagname=name), name)
    for make in (_in_memory, _in_folder):
        try:
            descriptor = make()
            yield from _grow(descriptor, size)
            return _mapped(descriptor, size)
        except OSError as error:
            reason = error.strerror
    raise MemoryLimitError(
        f"{size // MIB} MiB to hand the images over can't be had, neither as memory nor in the temporary folder "
        f"({reason}); close other programs or free disk space."
    )


def create(size: int) -> Block:
    """Reserve `size` bytes at once; raises as `reserve` does."""
    steps = reserve(size)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(Block, end.value)


def _mapped(descriptor: int, size: int) -> Block:
    """Return the block behind a descriptor, which is closed where that can't be mapped."""
    try:
        return Block(mmap.mmap(descriptor, size), descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _in_memory() -> int:
    if not hasattr(os, "memfd_create"):
        raise OSError(0, "this system has no anonymous files")
    return os.memfd_create("DeepImaging")


def _in_folder() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _grow(descriptor: int, size: int) -> Iterator[bool]:
    """Make it that large; macOS has no way to reserve, so it takes its room there as it is written."""
    try:
        if not hasattr(os, "posix_fallocate"):
            os.truncate(descriptor, size)
            return
        for start in range(0, size, STEP):
            os.posix_fallocate(descriptor, start, min(STEP, size - start))
            yield True
    except BaseException:
        os.close(descriptor)
        raise

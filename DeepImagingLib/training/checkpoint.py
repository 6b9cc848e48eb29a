"""Checkpoints that are whole at any moment: written beside their place, then moved onto it."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch

from DeepImagingLib.errors import InputError, OutputError

FOLDER = "training"
"""Where checkpoints and curves lie within the output."""

LAST, BEST, ORIGIN = "last.pt", "best.pt", "origin.sha256"
CHANGED = "The recipe or its settings changed since this training began; begin in a new folder."


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that appears at `path` at once, or not at all, be the process killed or the power lost.

    Raises:
        OutputError: The disk is full, or doesn't let us.
    """
    partly = path.with_name(f".{path.name}-{os.getpid()}")
    content = BytesIO()  # torch's writer tells a full disk in words of its own
    write(content)
    try:
        with partly.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partly, path)
    except OSError as error:
        partly.unlink(missing_ok=True)
        raise OutputError(f"{path.name} can't be written ({error.strerror}); is there room on the disk?") from error


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint of tensors and plain values."""
    write_whole(path, lambda file: torch.save(state, file))


def make_folder(output: Path, folder: Path, resume: bool) -> None:
    """Make the folder for the checkpoints of what is to be in `output`; a foreign folder is left alone.

    Raises:
        InputError: The output holds something else, or a training that isn't to be gone on with.
    """
    try:
        if output.exists() and any(output.iterdir()) and not folder.is_dir():
            raise InputError(f"The folder {output} holds something that is no training; name an empty one.")
        if any(folder.rglob(LAST)) and not resume:
            raise InputError(f"The folder {output} holds a training already; go on with it (--resume) or name another.")
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.rglob(".*.pt-*"):
            left.unlink(missing_ok=True)  # by a run that was killed while it wrote
    except OSError as error:
        raise InputError(f"The folder {output} can't be used ({error.strerror}); name another.") from error


def check_origin(folder: Path, made_of: str) -> None:
    """Note what a training is made of, or compare it with what was noted when there is something to go on with.

    Raises:
        InputError: It is another.
    """
    note = folder / ORIGIN
    if not note.is_file() or not any(folder.rglob(LAST)):
        write_whole(note, lambda file: file.write(made_of.encode()))
    elif note.read_text(encoding="utf-8") != made_of:
        raise InputError(CHANGED)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: It can't be read.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise InputError(
            f"The checkpoint {path.name} can't be read ({type(error).__name__}); begin in a new folder."
        ) from error

"""A bundle as one file, to be given away: what decides what it does, and nothing of its training's folder."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from DeepImagingLib.bundles.add import TRAINING
from DeepImagingLib.bundles.fingerprint import content_files
from DeepImagingLib.errors import OutputError

FURTHER = ("LICENSE", "docs")


def pack_bundle(root: Path, path: Path) -> Path:
    """Write a bundle as a zip archive that `models add` takes; returns the archive.

    Checkpoints, curves and lists of scans, which name files, stay behind.

    Raises:
        OutputError: The archive can't be written; one that was there stays as it was.
    """
    files = {file for file in content_files(root) if file.relative_to(root).parts[0] != TRAINING}
    for name in FURTHER:
        place = root / name
        files |= {place} if place.is_file() else set(filter(Path.is_file, place.rglob("*")))
    partly = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with zipfile.ZipFile(partly, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(files):
                archive.write(file, Path(root.name) / file.relative_to(root))
        os.replace(partly, path)
    except OSError as error:
        partly.unlink(missing_ok=True)
        raise OutputError(f"{path.name} can't be written ({error.strerror}); choose another place.") from error
    return path

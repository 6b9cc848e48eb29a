"""The exact content of a bundle as one SHA-256, which is what a user trusts, and what a result names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from DeepImagingLib.errors import BundleError, TrustError

CONTENT_FOLDERS = ("configs", "models", "scripts")
CODE_ENDINGS = (".py", ".pyc", ".pyd", ".so", ".pth", ".zip", ".egg")
CHUNK = 1 << 20

_PYTHON_CACHE = re.compile(r"\w+\.\w+-\d+(\.opt-\d)?\.pyc")


def fingerprint(root: Path) -> str:
    """Return the SHA-256 over every config, weight and script of the bundle, and over code anywhere in it.

    The digest covers, in the order of their names, each relative name and the SHA-256 of that file.

    Raises:
        TrustError: A link leads out of the bundle, so that its content isn't the bundle's own.
        BundleError: A file can't be read.
    """
    total = hashlib.sha256()
    for path in sorted(content_files(root), key=lambda p: p.relative_to(root).as_posix()):
        name = path.relative_to(root).as_posix()
        total.update(f"{name}\0{_file_digest(inside(path, root), name)}\n".encode())
    return total.hexdigest()


def content_files(root: Path) -> Iterator[Path]:
    """Yield the files that decide what the bundle does; byte code that Python caches is left out, and never read."""
    for path in root.rglob("*"):
        if _PYTHON_CACHE.fullmatch(path.name) and path.parent.name == "__pycache__":
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        if path.relative_to(root).parts[0].lower() in CONTENT_FOLDERS or path.suffix.lower() in CODE_ENDINGS:
            yield path


def inside(path: Path, root: Path) -> Path:
    """Return `path` with links followed.

    Raises:
        TrustError: It lies outside of the bundle at `root`.
    """
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise TrustError(f"{path.name} leads out of the bundle's folder; put a copy of that file into the bundle.")
    return resolved


def _file_digest(path: Path, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise BundleError(f"{name} of the bundle can't be read: {error.strerror}.") from error
    return digest.hexdigest()

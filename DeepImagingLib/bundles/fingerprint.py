"""The exact content of a bundle as one SHA-256, which is what a user trusts, and what a result names."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from DeepImagingLib.errors import BundleError, TrustError

CONTENT_FOLDERS = ("configs", "models", "scripts")
CODE_ENDINGS = (".py", ".pyc", ".pyd", ".so", ".pth", ".zip", ".egg")
WEIGHT_ENDINGS = (".pt", ".ckpt", ".pkl", ".pickle")
CHUNK = 1 << 20

_PYTHON_CACHE = re.compile(r"\w+\.\w+-\d+(\.opt-\d)?\.pyc")


def fingerprint(root: Path) -> str:
    """Return the SHA-256 over every config, weight and script of the bundle, and over code and weights anywhere in it.

    The digest covers, in the order of their names, each relative name and the SHA-256 of that file.

    Raises:
        TrustError: A link leads to a folder or out of the bundle, so that its content isn't the bundle's own.
        BundleError: A file can't be read.
    """
    return _digest_of(content_files(root), root)


def settings_fingerprint(root: Path) -> str:
    """Return the SHA-256 over the texts in `configs` alone, which is quick; raises as `fingerprint` does."""
    return _digest_of((path for path in (root / "configs").glob("*") if not path.is_dir()), root)


def _digest_of(paths: Iterable[Path], root: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.relative_to(root).as_posix()):
        name = path.relative_to(root).as_posix()
        # A name need not be text; fsencode gives back the very bytes that the system has.
        total.update(os.fsencode(name) + f"\0{_file_digest(inside(path, root), name)}\n".encode())
    return total.hexdigest()


def content_files(root: Path) -> Iterator[Path]:
    """Yield the files that decide what the bundle does; byte code that Python caches is left out, and never read.

    Raises:
        TrustError: A link leads to a folder or out of the bundle, whatever it is for.
    """
    for path in root.rglob("*"):
        _check_link(path, root)
        if _PYTHON_CACHE.fullmatch(path.name) and path.parent.name == "__pycache__":
            continue
        if not path.is_dir() and _decides(path.relative_to(root)):
            yield path


def _decides(name: Path) -> bool:
    return name.parts[0].lower() in CONTENT_FOLDERS or name.suffix.lower() in CODE_ENDINGS + WEIGHT_ENDINGS


def _check_link(path: Path, root: Path) -> None:
    """Raise TrustError where `path` stands for a folder elsewhere, be it a symbolic link or a junction of Windows."""
    resolved = inside(path, root)
    if resolved.is_dir() and resolved != root.resolve() / path.relative_to(root):
        raise TrustError(f"{_printable(path.name)} links to a folder; put a copy of it into the bundle.")


def inside(path: Path, root: Path) -> Path:
    """Return `path` with links followed.

    Raises:
        TrustError: It lies outside of the bundle at `root`.
    """
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:
        raise TrustError(f"{_printable(path.name)} is a link in a circle; remove it from the bundle.") from error
    if not resolved.is_relative_to(root.resolve()):
        raise TrustError(f"{_printable(path.name)} leads out of the bundle's folder; put a copy of it into the bundle.")
    return resolved


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def _file_digest(path: Path, name: str) -> str:
    digest = hashlib.sha256()
    if not path.is_file():
        raise BundleError(f"{_printable(name)} of the bundle is no file that can be read; remove it.")
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise BundleError(
            f"{_printable(name)} of the bundle can't be read ({error.strerror}); get the bundle again."
        ) from error
    return digest.hexdigest()

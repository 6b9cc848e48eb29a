"""The user's own models: a bundle from a folder or a zip archive is copied in whole, or nothing is."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import socket
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from DeepImagingLib.bundles.bundle import load_bundle
from DeepImagingLib.bundles.find import METADATA, MODEL_FOLDER_VARIABLE, list_bundles, user_model_folder
from DeepImagingLib.errors import BundleError, CancelledError, OutputError, TrustError

MAX_FILES = 10_000
MAX_BYTES = 16 << 30
"""The largest published bundles have a few gigabytes."""
MAX_RATIO = 100
"""Weights hardly get smaller in an archive: what grows more than this was made to fill the disk."""
MAX_NAME_BYTES = 200
MAX_DEPTH = 16
_SMALL = 256 << 20
"""What may grow by any ratio: a disk has room for that."""
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, in every folder."""
_CORRUPT = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)
TRAINING = "training"
_STAGE = ".changing-"
_OLDER = ".older"
_LITTER = {"__MACOSX", ".DS_Store", "__pycache__", ".git"}


@dataclass(frozen=True)
class _Member:
    """A file to copy: its place in the folder or archive, its bytes as declared, and how it is opened."""

    place: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def add_bundle(
    path: str | os.PathLike[str], *, replace: bool = False, cancel: Callable[[], bool] | None = None
) -> Path:
    """Copy a bundle into the user's model folder, where it is found by its name from then on.

    Adding is not running: a bundle that asks for code that is not on the list is added too, and `load_bundle`
    says what it asks for.

    Args:
        path: The bundle's folder, or a zip archive of it, with the bundle at its top or in one folder.
        replace: Take the place of a model of the same name.
        cancel: Asked at each mebibyte; answering True ends it, and nothing is kept.

    Returns:
        Its new folder.

    Raises:
        CancelledError: `cancel` answered True.
        BundleError: It is no bundle that can be read, the archive is broken or hostile, or the name is taken.
        OutputError: It can't be written.

    Example:
        >>> bundle = load_bundle(add_bundle("spleen_ct_segmentation_v0.5.3.zip"))  # doctest: +SKIP
    """
    source = Path(path).expanduser()
    with ExitStack() as opened:
        members = _members(source, opened)
        root = _root(members, source)
        within = [member for member in members if root in member.place.parents and not _is_of_training(member, root)]
        _check_size(within, source)
        name = _free_name(root.name or (source.resolve().name if source.is_dir() else source.stem), replace)
        with _staging() as stage:
            _copy(within, root, stage / name, cancel)
            _check_readable(stage / name)
            return _move_in(stage / name, user_model_folder() / name)


def remove_bundle(name: str) -> None:
    """Delete one of the user's own models; what is shipped stays.

    Raises:
        BundleError: The user has none of this name; the message lists those there are.
        OutputError: It can't be deleted.
    """
    own = {bundle.name: bundle for bundle in list_bundles() if bundle.parent == user_model_folder()}
    if name not in own:
        raise BundleError(f"{name!r} is none of your own models ({', '.join(own) or 'there are none'}).")
    with _staging() as stage:  # out of the list in one step; what is in the stage is deleted
        own[name].rename(stage / name)


# --- what is there ---


def _members(source: Path, opened: ExitStack) -> list[_Member]:
    """List the files of a folder or archive, each at a place that lies inside the folder it is copied to."""
    if not source.exists():
        raise BundleError(f"There is no {str(source)!r}; name a bundle's folder or zip archive.")
    try:
        found = _of_folder(source) if source.is_dir() else _of_archive(opened.enter_context(zipfile.ZipFile(source)))
        return list(islice(found, MAX_FILES + 1))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BundleError(f"{source.name} can't be read as a folder or zip archive ({error}); get it again.") from error


def _of_folder(folder: Path) -> Iterator[_Member]:
    """List a folder's files; links to files are followed, since downloaded models often are such links."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if name not in _LITTER]
        for path in (Path(parent, name) for name in folders + names if name not in _LITTER):
            if path.name in names and path.is_file():
                place = _place(path.relative_to(folder).as_posix())
                yield _Member(place, path.stat().st_size, partial[IO[bytes]](open, path, "rb"))
            elif path.name in names or path.is_symlink():
                raise BundleError(f"{path.name!r} in {folder.name} is no plain file or folder; put a copy of it there.")


def _of_archive(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        place = _place(info.filename.replace("\\", "/"))
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BundleError(f"The archive holds a link or device, {_shown(info.filename)}, and was not unpacked.")
        if info.flag_bits & 1:
            raise BundleError("The archive asks for a password; unpack it, then add its folder.")
        if not info.is_dir() and not info.filename.endswith("\\") and not _LITTER.intersection(place.parts):
            yield _Member(place, info.file_size, partial(archive.open, info))


def _place(name: str) -> PurePosixPath:
    """Return where a file goes, below the folder it is copied to; raises BundleError if it would be elsewhere."""
    parts = name.rstrip("/").split("/")
    if len(parts) > MAX_DEPTH or not all(_harmless(part) for part in parts):
        raise BundleError(f"A file there is named {_shown(name)}, which no model needs; nothing was added.")
    return PurePosixPath(*parts)


def _harmless(part: str) -> bool:
    """Tell whether a name is one file's or folder's on every system: no step up, no drive, no device."""
    plain = part.isprintable() and ":" not in part and part == part.rstrip(". ") and not _DEVICE.fullmatch(part)
    return plain and 0 < len(part.encode()) <= MAX_NAME_BYTES


def _shown(name: str) -> str:
    return ascii(name[:MAX_NAME_BYTES])


def _root(members: Sequence[_Member], source: Path) -> PurePosixPath:
    """Return the bundle's place among the members: at their top, or in a folder there."""
    metadata = PurePosixPath(METADATA.as_posix())
    places = [member.place for member in members]
    roots = [place.parent.parent for place in places if place.parts[-2:] == metadata.parts and len(place.parts) <= 3]
    if PurePosixPath() in roots:
        return PurePosixPath()
    if len(roots) == 1:
        return roots[0]
    told = f"{len(roots)} bundles: add one at a time" if roots else f"no MONAI bundle: there is no {metadata} in it"
    raise BundleError(f"{source.name} holds {told}.")


def _is_of_training(member: _Member, root: PurePosixPath) -> bool:
    """Tell whether a training left a file beside its bundle: checkpoints, and lists that name patients' files."""
    return member.place.relative_to(root).parts[0] == TRAINING


def _check_size(members: Sequence[_Member], source: Path) -> None:
    total = sum(member.size for member in members)
    if len(members) > MAX_FILES or total > MAX_BYTES:
        raise BundleError(
            f"{source.name} holds {len(members)} files of {total / 1e9:.1f} GB, more than a model has "
            f"({MAX_FILES} files, {MAX_BYTES / 1e9:.0f} GB); remove what isn't part of it."
        )
    if source.is_file() and total > max(_SMALL, MAX_RATIO * source.stat().st_size):
        raise BundleError(f"{source.name} would grow to {total / 1e9:.1f} GB; that is no model, and was not unpacked.")


def _free_name(name: str, replace: bool) -> str:
    """Return the name if it can be a model's and none has it, or that one is to be replaced."""
    if name.startswith(".") or str(_place(name)) != name:
        raise BundleError(f"A model can't be named {_shown(name)}; give its folder or archive a short, plain name.")
    taken = [bundle.name for bundle in list_bundles() if bundle.name.casefold() == name.casefold()]
    occupied = [entry.name for entry in _entries(user_model_folder()) if entry.name.casefold() == name.casefold()]
    if occupied and not taken:
        raise BundleError(f"{occupied[0]} in {user_model_folder()} is no model; move it away, or rename this one.")
    if taken and not replace:
        raise BundleError(f"There is a model named {taken[0]} already; replace it, or rename this one.")
    return (occupied or [name])[0]


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


# --- copying ---


@contextmanager
def _staging() -> Iterator[Path]:
    """Give a folder beside the models, on their file system, that is gone afterwards, whatever happens."""
    folder = user_model_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
        prefix = f"{_stage_prefix()}{os.getpid()}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True) as stage:
            yield Path(stage)
    except OSError as error:
        remedy = f"free space there, or name another folder in {MODEL_FOLDER_VARIABLE}"
        raise OutputError(f"The models in {folder} can't be changed ({error.strerror or error}): {remedy}.") from error


def _stage_prefix() -> str:
    """Return how stages of this machine begin: whether a process of another lives can't be told here."""
    return f"{_STAGE}{socket.gethostname()}-"


def _tidy(folder: Path) -> None:
    """Remove the stages that killed processes of this machine left; a replacement that was ready is finished."""
    for stage in folder.glob(f"{_STAGE}*"):
        named = re.fullmatch(rf"{re.escape(_stage_prefix())}(\d+)-\w+", stage.name)
        if named is None or _lives(int(named[1])):
            continue
        if (stage / _OLDER).exists():
            for ready in list(stage.iterdir()):
                if ready.name != _OLDER and not (folder / ready.name).exists():
                    ready.rename(folder / ready.name)
        shutil.rmtree(stage, ignore_errors=True)


def _lives(process_id: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(process_id))


def _copy(members: Sequence[_Member], root: PurePosixPath, target: Path, cancel: Callable[[], bool] | None) -> None:
    for member in members:
        path = target / member.place.relative_to(root)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file, _readable(member) as content:
                while piece := content.read(1 << 20):
                    if cancel is not None and cancel():
                        raise CancelledError("Adding the model was cancelled; nothing was kept.")
                    file.write(piece)
        except (FileExistsError, NotADirectoryError) as error:
            raise BundleError(f"Two files there are named {_shown(str(member.place))}; pack it again.") from error
        except _CORRUPT as error:
            raise BundleError(f"{_shown(str(member.place))} can't be unpacked ({error}); get it again.") from error


def _readable(member: _Member) -> IO[bytes]:
    try:
        return member.open()
    except OSError as error:
        raise BundleError(f"{_shown(str(member.place))} can't be read ({error.strerror}).") from error


def _check_readable(folder: Path) -> None:
    """Read and judge what was copied; what only needs trust may stay."""
    try:
        load_bundle(folder)
    except TrustError:
        return


def _move_in(staged: Path, final: Path) -> Path:
    """Move the finished copy to its place; an older one goes to the stage, and back if that fails."""
    older = staged.with_name(_OLDER)
    if final.exists() or final.is_symlink():
        final.rename(older)
    try:
        staged.rename(final)
    except OSError:
        if older.exists():
            older.rename(final)
        raise
    return final

"""Where bundles are: by path, in the user's model folder, among the shipped ones, in this order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from DeepImagingLib.errors import BundleError

METADATA = Path("configs", "metadata.json")
MODEL_FOLDER_VARIABLE = "DEEPIMAGING_MODELS"


def user_model_folder() -> Path:
    """Return the folder of the user's own bundles, which need not exist.

    It is what the environment variable DEEPIMAGING_MODELS names, else the data folder that the system gives
    to each user: `%LOCALAPPDATA%`, `~/Library/Application Support`, or `$XDG_DATA_HOME` (`~/.local/share`).
    """
    named = os.environ.get(MODEL_FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    return _user_data_folder() / "DeepImaging" / "models"


def _user_data_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def shipped_model_folder() -> Path:
    """Return the folder of the bundles that come with this extension."""
    return Path(__file__).parents[2] / "Resources" / "Bundles"


def list_bundles() -> list[Path]:
    """Return the folders of all bundles found by name, the user's before the shipped ones, each name once."""
    found: dict[str, Path] = {}
    for folder in (user_model_folder(), shipped_model_folder()):
        for metadata in sorted(folder.glob(f"*/{METADATA.as_posix()}")):
            bundle = metadata.parents[1]
            found.setdefault(bundle.name, bundle)
    return list(found.values())


def find_bundle(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder of a bundle, given its path or its folder's name.

    Raises:
        BundleError: There is none; the message lists the names there are.
    """
    path = Path(name_or_path).expanduser()
    if _is_folder(path):
        return path.resolve()
    by_name = {bundle.name: bundle for bundle in list_bundles()}
    if str(name_or_path) in by_name:
        return by_name[str(name_or_path)]
    known = ", ".join(by_name) or "none installed"
    raise BundleError(
        f"There is no bundle {str(name_or_path)!r}: it is neither a folder nor one of the known names ({known})."
    )


def _is_folder(path: Path) -> bool:
    """Tell whether `path` is a folder; False too where the system refuses such a name (too long, a NUL)."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False

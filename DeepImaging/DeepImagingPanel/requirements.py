"""What has to be in Slicer's Python: what of it is missing, and what must never be installed there."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

import DeepImagingLib

try:
    from packaging.requirements import Requirement
except ImportError:  # older Slicers have it inside pip alone
    from pip._vendor.packaging.requirements import Requirement

NEVER = ("slicer-core", "vtk", "PySide6", "PySide6-Essentials", "SimpleITK", "numpy", "torchvision")
"""Slicer brings these, or they would take the place of a part of Slicer, or of what PyTorchUtils chose."""
TORCH = "torch"
"""Comes through PyTorchUtils, which chooses the build for this machine's GPU and driver."""
_MODULES = {"PyYAML": "yaml", "pillow": "PIL", "scikit-image": "skimage"}
"""What is imported under another name than it is installed by."""


@dataclass(frozen=True)
class Needed:
    """A package that Slicer's Python has to have.

    Attributes:
        name: As pip knows it.
        asked: Name and versions, as pip takes them.
        least, most: Megabytes of its download, with what comes along.
    """

    name: str
    asked: str
    least: float
    most: float

    @property
    def module(self) -> str:
        """The name it is imported by."""
        return _MODULES.get(self.name, self.name)

    @property
    def versions(self) -> str:
        """The versions that will do, such as `>=2.8,<3`."""
        return str(Requirement(self.asked).specifier)

    def isFound(self) -> bool:
        """Tell whether it is there in a version that will do, without importing it."""
        found = installed(self.name)
        return found is not None and Requirement(self.asked).specifier.contains(found, prereleases=True)


def needed() -> list[Needed]:
    """Return all that is needed and that Slicer doesn't bring, PyTorch first: the rest is built on it."""
    text = Path(DeepImagingLib.__file__).with_name("requirements.txt").read_text(encoding="utf-8")
    found = [_needed(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return sorted((one for one in found if one.name not in NEVER), key=lambda one: one.name != TORCH)


def _needed(line: str) -> Needed:
    asked, _, size = line.partition("#")
    megabytes = [float(number) for number in re.findall(r"[\d.]+", size)] or [0.0]
    return Needed(Requirement(asked).name, asked.strip(), min(megabytes), max(megabytes))


def missing() -> list[str]:
    """Return what is not there or of a version that won't do, as pip would take it; nothing is imported for it."""
    return [one.asked for one in needed() if not one.isFound()]


def installed(name: str) -> str | None:
    """Return a package's version, None where it is not installed."""
    importlib.invalidate_caches()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

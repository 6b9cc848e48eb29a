"""What a bundle's metadata says of its segments: groups of labels, and those that aren't shown by default.

    "groups": {"bone": ["spine", "ribs", "hips"]},
    "hidden": ["bone", "gallbladder"]

No keys of MONAI's: stock MONAI passes over them. What is wrong in them is told when the bundle is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from DeepImagingLib.bundles.metadata import printable
from DeepImagingLib.errors import BundleError

BACKGROUND = "background"


def groups(
    metadata: Mapping[str, Any], labels: Mapping[int, str], exclusive: bool | None
) -> dict[str, tuple[str, ...]]:
    """Return the name of each group with the names of its labels.

    Args:
        metadata: All of metadata.json.
        labels: Number of each output channel to its name.
        exclusive: As `Bundle.exclusive`; where it can't be told, a background tells.

    Raises:
        BundleError: A group is empty, unnamed or named as a label, holds what is no label, or the labels may overlap.
    """
    listed = metadata.get("groups", {})
    if not isinstance(listed, dict):
        raise BundleError(f"`groups` in metadata.json is {listed!r}; it has to map names to lists of labels.")
    found = {printable(name): _members(name, members, labels) for name, members in listed.items()}
    taken = next((name for name in found if not name or name.lower() in {n.lower() for n in labels.values()}), None)
    if taken is not None:
        raise BundleError(f"`groups` in metadata.json has a group named {taken!r}; give it a name that no label has.")
    if found and not excludes(labels, exclusive):
        raise BundleError(
            "`groups` in metadata.json needs labels that exclude each other; those of this model may overlap."
        )
    return found


def excludes(labels: Mapping[int, str], exclusive: bool | None) -> bool:
    """Return whether a voxel has one label alone; where it can't be told, a background tells."""
    return labels.get(0, "").lower() == BACKGROUND if exclusive is None else exclusive


def _members(name: str, members: object, labels: Mapping[int, str]) -> tuple[str, ...]:
    if not isinstance(members, list) or not members:
        raise BundleError(f"The group {name!r} in metadata.json is {members!r}; it has to be a list of labels.")
    return _known(f"The group {name!r}", members, labels.values())


def hidden(metadata: Mapping[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Return the names of the segments that aren't shown by default.

    Args:
        metadata: All of metadata.json.
        names: Of labels and groups.

    Raises:
        BundleError: A name is none of these.
    """
    listed = metadata.get("hidden", [])
    if not isinstance(listed, list):
        raise BundleError(f"`hidden` in metadata.json is {listed!r}; it has to be a list of names.")
    return _known("`hidden`", listed, names)


def _known(what: str, listed: list[Any], names: Collection[str]) -> tuple[str, ...]:
    segments = [name for name in names if name.lower() != BACKGROUND]
    asked = tuple(map(printable, listed))
    unknown = next((name for name in asked if name not in segments), None)
    if unknown is not None:
        raise BundleError(f"{what} in metadata.json names {unknown!r}; the model has {', '.join(segments) or 'none'}.")
    return asked

"""What a bundle's metadata says of borders that an image shows better than a network does.

    "borders": [{"labels": ["ribs", "spine"], "into": ["other tissue"], "above": 180, "within_mm": 5}]

lets ribs and spine grow into other tissue where it is denser than 180 HU, for 5 mm. No key of MONAI's: stock MONAI
passes over it. What is wrong in it is told when the bundle is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from DeepImagingLib.bundles.groups import excludes
from DeepImagingLib.bundles.metadata import printable
from DeepImagingLib.errors import BundleError

FORM = '{"labels": [NAME, …], "into": [NAME, …], "above" or "below": NUMBER, "within_mm": NUMBER}'
BOUNDS = ("above", "below")
LARGEST = 1e9


@dataclass(frozen=True)
class Border:
    """Where labels grow into others.

    Attributes:
        labels: Numbers of those that grow.
        into: Numbers of those that give way.
        bound: Values of the image on one side of it are of `labels`.
        above: Whether that is the upper side.
        within_mm: How far they grow.
    """

    labels: tuple[int, ...]
    into: tuple[int, ...]
    bound: float
    above: bool
    within_mm: float


def borders(metadata: Mapping[str, Any], labels: Mapping[int, str], exclusive: bool | None) -> tuple[Border, ...]:
    """Return what `borders` tells, in its order.

    Args:
        metadata: All of metadata.json.
        labels: Number of each output channel to its name.
        exclusive: As `Bundle.exclusive`.

    Raises:
        BundleError: It has another form, names what is no label, or the labels may overlap.
    """
    listed = metadata.get("borders", [])
    if not isinstance(listed, list):
        raise BundleError(f"`borders` in metadata.json is {listed!r}; it has to be a list of {FORM}.")
    if listed and not excludes(labels, exclusive):
        raise BundleError("`borders` in metadata.json needs labels that exclude each other; this model's may overlap.")
    numbers = {name: number for number, name in labels.items()}
    return tuple(_border(entry, numbers) for entry in listed)


def _border(entry: object, numbers: Mapping[str, int]) -> Border:
    bound = [key for key in BOUNDS if isinstance(entry, dict) and key in entry]
    if not isinstance(entry, dict) or len(bound) != 1 or {*entry} != {"labels", "into", *bound, "within_mm"}:
        raise BundleError(f"`borders` in metadata.json has {entry!r}; each has to be {FORM}.")
    values = [entry[key] for key in (*bound, "within_mm")]
    if not all(type(value) in (int, float) and abs(value) < LARGEST for value in values) or values[1] <= 0:
        raise BundleError(
            f"`borders` in metadata.json has {entry!r}; its numbers have to be below {LARGEST:g}, the distance > 0."
        )
    grow, give = (_numbers(entry[key], numbers) for key in ("labels", "into"))
    if {*grow} & {*give}:
        raise BundleError(f"`borders` in metadata.json has {entry!r}; a label can't grow into itself.")
    return Border(grow, give, float(values[0]), bound == ["above"], float(values[1]))


def _numbers(names: object, numbers: Mapping[str, int]) -> tuple[int, ...]:
    if not isinstance(names, list) or not names:
        raise BundleError(f"`borders` in metadata.json has {names!r} for labels; it has to be a list of names.")
    unknown = next((name for name in map(printable, names) if name not in numbers), None)
    if unknown is not None:
        raise BundleError(
            f"`borders` in metadata.json names {unknown!r}; the model has {', '.join(numbers) or 'none'}."
        )
    return tuple(numbers[printable(name)] for name in names)

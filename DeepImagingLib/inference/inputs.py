"""From what a user gives to what a bundle takes: read, named, checked, mended, stacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib import files
from DeepImagingLib.errors import InputError
from DeepImagingLib.inference import checks
from DeepImagingLib.inference.colours import with_channels

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle

Image = Any
"""A path (str or Path) or a MetaTensor (C, I, J, K)."""


@dataclass(frozen=True)
class Prepared:
    """The images of a run, read and checked.

    Attributes:
        by_name: Input name to (C, I, J, K), as given.
        notes: What was mended in them.
    """

    by_name: dict[str, MetaTensor]
    notes: tuple[str, ...]

    @property
    def reference(self) -> MetaTensor:
        """The image whose grid the result has."""
        return next(iter(self.by_name.values()))


def prepare(bundle: Bundle, inputs: Image | Mapping[str, Image]) -> Prepared:
    """Read what has to be read and check that it is what the bundle takes; raises InputError."""
    named = _named(bundle, inputs)
    images: dict[str, MetaTensor] = {}
    notes: list[str] = []
    for name, given in named.items():
        label = label_of(name, named)
        image = files.read(given) if isinstance(given, str | Path) else _checked_tensor(given, label)
        if bundle.classifies and not bundle.takes_volume and not bundle.patch:  # which sees a volume slice by slice
            checks.check_size(image, label)
        else:
            checks.check_dimensions(image, label, bundle.takes_volume)
            if bundle.patch:
                checks.check_size(image, label)
        image = image if bundle.takes_volume else as_picture(image)
        checks.check_affine(np.asarray(image.affine), label)
        images[name], mended = checks.checked_voxels(image, label)
        guessed, unlike = image.meta.get(files.NOTE_KEY), checks.unlike_modality(images[name], label, bundle.modality)
        notes += [guessed or "", *mended, unlike]
    if bundle.classifies and (len(images) == 1 or len(bundle.image_keys) > 1):
        for number, name in enumerate(images):
            images[name], mended = with_channels(images[name], _channels_of(bundle, number), label_of(name, named))
            notes += mended
    else:
        _check_channels(bundle, images)
    return Prepared(images, tuple(note for note in notes if note))


def _channels_of(bundle: Bundle, number: int) -> int:
    """Return the channels of a classifier's image of that number: of several, those behind the first are masks."""
    further = len(bundle.image_keys) - 1
    return 1 if number else bundle.input_channels - further


def as_picture(image: MetaTensor) -> MetaTensor:
    """Return a volume of one slice (C, I, J, 1) as the picture (C, I, J) it is, and others as they are."""
    if image.ndim < 4 or image.shape[3] > 1:
        return image
    return files.as_image(image.numpy()[..., 0], np.asarray(image.affine), image.meta.get(files.NOTE_KEY) or "")


def _named(bundle: Bundle, inputs: Image | Mapping[str, Image]) -> dict[str, Image]:
    """Return inputs by the bundle's names, in its order; one image stands for all channels it has."""
    if not isinstance(inputs, Mapping):
        return {bundle.channels[0] if len(bundle.channels) == 1 else bundle.image_keys[0]: inputs}
    if bundle.classifies and len(inputs) == len(bundle.image_keys) == 1:
        return dict(inputs)
    wanted = {_folded(name): name for name in bundle.channels}
    unknown = [str(name) for name in inputs if _folded(str(name)) not in wanted]
    if unknown and len(inputs) == len(wanted):
        raise InputError(
            f"The bundle {bundle.name!r} has no input {', '.join(map(repr, unknown))}; its inputs are "
            f"{', '.join(bundle.channels)}."
        )
    given = {wanted.get(_folded(str(name)), str(name)): image for name, image in inputs.items()}
    if set(given) != set(bundle.channels) or len(given) != len(inputs):
        raise InputError(
            f"The bundle {bundle.name!r} takes {_listed(bundle.channels)}, but was given {_listed(list(inputs))}; "
            "give each under its name, NAME=FILE."
        )
    return {name: given[name] for name in bundle.channels}


def _folded(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _listed(names: Any) -> str:
    return f"{len(names)} input{'s' if len(names) != 1 else ''} ({', '.join(names)})"


def _checked_tensor(given: Any, label: str) -> MetaTensor:
    from monai.data import MetaTensor

    if not isinstance(given, MetaTensor):
        raise InputError(
            f"{label.capitalize()} is a {type(given).__name__}; give a path or a MetaTensor with an affine."
        )
    if given.ndim not in (3, 4):
        raise InputError(f"{label.capitalize()} has {given.ndim} axes, expected (C, I, J, K) or (C, I, J).")
    voxels, affine = (part.detach().cpu().numpy() for part in (given.as_tensor(), given.affine))
    return files.as_image(voxels, affine, given.meta.get(files.NOTE_KEY) or "")


def _check_channels(bundle: Bundle, images: Mapping[str, MetaTensor]) -> None:
    expected = len(bundle.channels)
    first_name, first = next(iter(images.items()))
    if len(images) == 1 and len(first) != expected:
        raise InputError(
            f"The input has {len(first)} channel{'s' if len(first) != 1 else ''}, but the bundle {bundle.name!r} takes "
            f"{_listed(bundle.channels)}; give each under its name, NAME=FILE."
        )
    for name, image in images.items():
        if len(images) > 1 and len(image) != 1:
            raise InputError(f"The input {name!r} has {len(image)} channels; give one image a name.")
        checks.check_same_grid(first, image, (f"the input {first_name!r}", f"the input {name!r}"))


def label_of(name: str, among: Mapping[str, Any]) -> str:
    return "the input" if len(among) == 1 else f"the input {name!r}"


def gather(bundle: Bundle, images: Mapping[str, MetaTensor]) -> dict[str, MetaTensor]:
    """Return the images by the bundle's keys, or as the channels of its one key.

    An image by itself keeps its memory, which `preprocess` doesn't write to.
    """
    if len(bundle.image_keys) > 1:
        return {name: files.as_image(image.numpy(), np.asarray(image.affine)) for name, image in images.items()}
    first, *others = images.values()
    stacked = np.concatenate([image.numpy() for image in images.values()]) if others else first.numpy()
    return {bundle.image_keys[0]: files.as_image(stacked, np.asarray(first.affine))}

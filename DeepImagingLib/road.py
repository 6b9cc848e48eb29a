"""The one call: a bundle and images go in, a result comes out. Panel, command line, batch and tests all end here."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib import __version__, files
from DeepImagingLib.bundles import Bundle, load_bundle
from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.inference import checks
from DeepImagingLib.inference.device import choose_device
from DeepImagingLib.inference.memory import peak_memory
from DeepImagingLib.inference.predict import on_grid, predict
from DeepImagingLib.inference.progress import Monitor, Progress
from DeepImagingLib.options import Options
from DeepImagingLib.results import Provenance, Result, Segmentation
from DeepImagingLib.tasks import segmentation

if TYPE_CHECKING:
    from monai.data import MetaTensor

log = logging.getLogger(__name__)

Image = Any
"""A path (str or Path) or a MetaTensor (C, I, J, K)."""
DEFAULTS = Options()
RUNNABLE = ("segmentation", "unknown")  # metadata that are silent are taken for what most bundles are
LIBRARIES = ("torch", "monai", "numpy")


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


def run(
    bundle: Bundle | str | Path,
    inputs: Image | Mapping[str, Image],
    options: Options = DEFAULTS,
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Result:
    """Run a bundle on one study.

    Args:
        bundle: A loaded bundle, its folder, or its name.
        inputs: One image (a path, or a MetaTensor as `scene.read` and `files.read` give), or a mapping of the
            bundle's input names to images, where several are the channels of one study.
        options: How to run.
        progress: Called with the stage, its fraction done and the seconds left.
        cancel: Asked at each window; answering True ends the run with CancelledError.

    Returns:
        The result in the geometry of the input: same voxel grid, affine IJK→RAS in mm of the world it was read in.

    Raises:
        InputError: An image or an option can't be used.
        BundleError: The bundle can't be run; TrustError where it asks for foreign code.
        MemoryLimitError: Memory ran out.
        CancelledError: `cancel` answered True.

    Example:
        >>> result = run("torso_ct_segmentation", "ct.nii.gz")  # doctest: +SKIP
        >>> result.millilitres()["liver"]  # doctest: +SKIP
    """
    monitor = Monitor(progress, cancel)
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    if loaded.task not in RUNNABLE:
        raise BundleError(f"The bundle {loaded.name!r} is for {loaded.task}; this version runs segmentation bundles.")
    with monitor.stage("Checking the input"):
        prepared = prepare(loaded, inputs)
        regions = {name: crop(image, options.roi) for name, image in prepared.by_name.items()}
        for name, region in regions.items():
            checks.check_not_constant(region, _label(name, regions))
    with monitor.stage("Loading the model"):
        device = choose_device(options.device)
        with warnings.catch_warnings():
            # MONAI warns of defaults that change, which is for a bundle's author and not for its user.
            warnings.simplefilter("ignore", FutureWarning)
            pipeline = loaded.build(device)
    prediction = predict(loaded, pipeline, gather(loaded, regions), device, monitor)
    with monitor.stage("Collecting"):
        prediction, grid_notes = on_grid(prediction, next(iter(regions.values())))
        layers, segments, exclusive = segmentation.decode(prediction.numpy(), loaded.labels, loaded.exclusive)
        layers = paste(layers, prepared.reference, options.roi)
        if not loaded.takes_volume:
            layers = layers[..., None]  # a picture is a volume of one slice
    log.info("%s ran on %s in %.1f s", loaded.name, device, sum(monitor.seconds.values()))
    provenance = Provenance(
        bundle=loaded.name,
        version=loaded.version,
        sha256=loaded.sha256,
        input_sha256={name: _digest(image) for name, image in prepared.by_name.items()},
        options=options.as_plain(),
        device=str(device),
        precision="full",
        memory_step="as asked",
        versions={"DeepImaging": __version__} | {name: metadata.version(name) for name in LIBRARIES},
        seconds={name: round(seconds, 3) for name, seconds in monitor.seconds.items()},
        peak_memory=peak_memory(),
        notes=(*loaded.notes, *prepared.notes, *grid_notes),
    )
    affine = np.asarray(prepared.reference.affine, dtype=np.float64)
    return Segmentation(layers, affine, segments, exclusive, provenance)


def prepare(bundle: Bundle, inputs: Image | Mapping[str, Image]) -> Prepared:
    """Read what has to be read and check that it is what the bundle takes; raises InputError."""
    named = _named(bundle, inputs)
    images: dict[str, MetaTensor] = {}
    notes: list[str] = []
    for name, given in named.items():
        label = _label(name, named)
        image = files.read(given) if isinstance(given, str | Path) else _checked_tensor(given, label)
        checks.check_dimensions(image, label, bundle.takes_volume)
        image = image if bundle.takes_volume else as_picture(image)
        checks.check_affine(np.asarray(image.affine), label)
        notes += [image.meta.get(files.NOTE_KEY) or "", checks.unlike_modality(image, label, bundle.modality)]
        images[name], mended = checks.checked_voxels(image, label)
        notes += mended
    _check_channels(bundle, images)
    return Prepared(images, tuple(note for note in notes if note))


def as_picture(image: MetaTensor) -> MetaTensor:
    """Return a volume of one slice (C, I, J, 1) as the picture (C, I, J) it is; the affine stays."""
    if image.ndim < 4:
        return image
    return files.as_image(image.numpy()[..., 0], np.asarray(image.affine), image.meta.get(files.NOTE_KEY) or "")


def _named(bundle: Bundle, inputs: Image | Mapping[str, Image]) -> dict[str, Image]:
    """Return inputs by the bundle's names, in its order; one image stands for all channels it has."""
    if not isinstance(inputs, Mapping):
        return {bundle.channels[0] if len(bundle.channels) == 1 else bundle.image_keys[0]: inputs}
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


def _label(name: str, among: Mapping[str, Any]) -> str:
    return "the input" if len(among) == 1 else f"the input {name!r}"


def gather(bundle: Bundle, images: Mapping[str, MetaTensor]) -> dict[str, MetaTensor]:
    """Return copies of the images by the bundle's keys, or as the channels of its one key.

    Copies, because some of MONAI's transforms work in place (NormalizeIntensity with `nonzero`).
    """
    if len(bundle.image_keys) > 1:
        return {name: image.clone() for name, image in images.items()}
    stacked = np.concatenate([np.asarray(image) for image in images.values()])
    first = next(iter(images.values()))
    return {bundle.image_keys[0]: files.as_image(stacked, np.asarray(first.affine))}


def crop(image: MetaTensor, roi: tuple[tuple[int, int], ...] | None) -> MetaTensor:
    """Return the voxels (C, I, J, K) inside half-open ranges, with the affine moved along.

    Raises:
        InputError: The ranges leave the image, or have another number of axes.
    """
    if roi is None:
        return image
    shape = (*image.shape[1:], 1)[:3]
    if any(stop > n for (_, stop), n in zip(roi, shape, strict=False)) or len(roi) < image.ndim - 1:
        asked = ",".join(f"{start}:{stop}" for start, stop in roi)
        listed = " × ".join(map(str, image.shape[1:]))
        raise InputError(f"The region {asked} leaves the image, which has {listed} voxels; choose one inside it.")
    start = np.array([*(r[0] for r in roi), 0][:3] + [1])
    affine = np.asarray(image.affine, dtype=np.float64).copy()
    affine[:, 3] = affine @ start
    return files.as_image(np.asarray(image)[_box(roi, image.ndim)], affine)


def paste(layers: Any, reference: MetaTensor, roi: tuple[tuple[int, int], ...] | None) -> Any:
    """Return layers (L, I, J, K) of a region within the whole image, empty outside."""
    if roi is None:
        return layers
    whole = np.zeros((len(layers), *reference.shape[1:]), layers.dtype)
    whole[_box(roi, whole.ndim)] = layers
    return whole


def _box(roi: tuple[tuple[int, int], ...], axes: int) -> tuple[slice, ...]:
    """Return the index that takes all channels of a region; a picture (three axes) has no third range."""
    return (slice(None), *(slice(*r) for r in roi))[:axes]


def _digest(image: MetaTensor) -> str:
    digest = hashlib.sha256()
    for part in (image.numpy(), np.asarray(image.affine, dtype=np.float64)):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()

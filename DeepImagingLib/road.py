"""The one call: a bundle and images go in, a result comes out. Panel, command line, batch and tests all end here."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DeepImagingLib import __version__
from DeepImagingLib.bundles import Bundle, Pipeline, load_bundle
from DeepImagingLib.errors import BundleError
from DeepImagingLib.inference import checks
from DeepImagingLib.inference.device import choose_device
from DeepImagingLib.inference.inputs import Image, gather, label_of, prepare
from DeepImagingLib.inference.memory import peak_memory
from DeepImagingLib.inference.predict import on_grid, predict
from DeepImagingLib.inference.progress import Monitor, Progress
from DeepImagingLib.inference.region import crop, paste
from DeepImagingLib.options import Options
from DeepImagingLib.results import Provenance, Result, Segmentation
from DeepImagingLib.tasks import segmentation
from DeepImagingLib.tasks.laterality import laterality_warning

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

log = logging.getLogger(__name__)

DEFAULTS = Options()
RUNNABLE = ("segmentation", "unknown")  # metadata that are silent are taken for what most bundles are
LIBRARIES = ("torch", "monai", "numpy")


def run(
    bundle: Bundle | str | Path,
    inputs: Image | Mapping[str, Image],
    options: Options = DEFAULTS,
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    *,
    build: Callable[[Bundle, torch.device], Pipeline] = Bundle.build,
) -> Result:
    """Run a bundle on one study.

    Args:
        bundle: A loaded bundle, its folder, or its name.
        inputs: One image (a path, or a MetaTensor as `scene.read` and `files.read` give), or a mapping of the
            bundle's input names to images, where several are the channels of one study.
        options: How to run.
        progress: Called with the stage, its fraction done and the seconds left.
        cancel: Asked at each window; answering True ends the run with CancelledError.
        build: Makes the pieces of the run; a host that keeps models warm gives its own.

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
            checks.check_not_constant(region, label_of(name, regions))
    with monitor.stage("Loading the model"):
        device = choose_device(options.device)
        with warnings.catch_warnings():
            # MONAI warns of defaults that change, which is for a bundle's author and not for its user.
            warnings.simplefilter("ignore", FutureWarning)
            pipeline = build(loaded, device)
    prediction = predict(loaded, pipeline, gather(loaded, regions), device, monitor)
    with monitor.stage("Collecting"):
        prediction, grid_notes = on_grid(prediction, next(iter(regions.values())))
        layers, segments, exclusive = segmentation.decode(prediction.numpy(), loaded.labels, loaded.exclusive)
        layers = paste(layers, prepared.reference, options.roi)
        if not loaded.takes_volume:
            layers = layers[..., None]  # a picture is a volume of one slice
    log.info("%s ran on %s in %.1f s", loaded.name, device, sum(monitor.seconds.values()))
    affine = np.asarray(prepared.reference.affine, dtype=np.float64)
    sides = laterality_warning(Segmentation(layers, affine, segments, exclusive))
    notes = (*loaded.notes, *prepared.notes, *grid_notes, *([sides] if sides else []))
    provenance = _provenance(loaded, prepared.by_name, options, str(device), monitor.seconds, notes)
    return Segmentation(layers, affine, segments, exclusive, provenance)


def _provenance(
    bundle: Bundle,
    images: Mapping[str, MetaTensor],
    options: Options,
    device: str,
    seconds: Mapping[str, float],
    notes: tuple[str, ...],
) -> Provenance:
    return Provenance(
        bundle=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        input_sha256={name: _digest(image) for name, image in images.items()},
        options=options.as_plain(),
        device=device,
        precision="full",
        memory_step="as asked",
        versions={"DeepImaging": __version__} | {name: metadata.version(name) for name in LIBRARIES},
        seconds={name: round(value, 3) for name, value in seconds.items()},
        peak_memory=peak_memory(),
        notes=notes,
    )


def _digest(image: MetaTensor) -> str:
    digest = hashlib.sha256()
    for part in (image.numpy(), np.asarray(image.affine, dtype=np.float64)):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()

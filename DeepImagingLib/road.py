"""The one call: a bundle and images go in, a result comes out. Panel, command line, batch and tests all end here."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib import __version__
from DeepImagingLib.bundles import Bundle, Pipeline, load_bundle
from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.explain.explained import Explaining
from DeepImagingLib.files import digest, picture_size
from DeepImagingLib.inference import checks, uncertainty
from DeepImagingLib.inference.answer import Answer
from DeepImagingLib.inference.answers import EIGHT_BITS, range_of
from DeepImagingLib.inference.classify import classify, foresee_parts, parts_of
from DeepImagingLib.inference.detect import Detecting
from DeepImagingLib.inference.device import choose_device
from DeepImagingLib.inference.inputs import Image, Prepared, gather, label_of, prepare
from DeepImagingLib.inference.memory import peak_memory
from DeepImagingLib.inference.predict import foresee, predict
from DeepImagingLib.inference.progress import Monitor, Progress
from DeepImagingLib.inference.region import corner, crop, paste
from DeepImagingLib.options import Options
from DeepImagingLib.results import Classification, Detections, Provenance, Result, Segmentation
from DeepImagingLib.tasks import classification, detection, segmentation
from DeepImagingLib.tasks.borders import follow_borders
from DeepImagingLib.tasks.calibration import Calibration
from DeepImagingLib.tasks.groups import add_groups, hide
from DeepImagingLib.tasks.laterality import laterality_warning

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.inference.plan import AsItIs, InParts, Plan

log = logging.getLogger(__name__)

DEFAULTS = Options()
RUNNABLE = ("segmentation", "detection", "classification", "unknown")
"""Metadata that are silent are taken for what most bundles are."""
LIBRARIES = ("torch", "monai", "numpy")
CALIBRATION = "calibration"
"""Key of the metadata that holds what `Calibration.plain` tells. No key of MONAI's."""


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
    start = _started(bundle, inputs, options, monitor, build)
    result = _answer_of(start.bundle)(start, options, monitor)
    log.info("%s ran in %.1f s", start.bundle.name, sum(monitor.seconds.values()))
    return result


def _answer_of(bundle: Bundle) -> Callable[[_Start, Options, Monitor], Result]:
    if bundle.classifies:
        return _classified
    return _detected if bundle.detector else _segmented


def _segmented(start: _Start, options: Options, monitor: Monitor) -> Segmentation:
    loaded, prepared, wanted = start.bundle, start.prepared, start.wanted
    prediction = predict(*start.arguments(monitor, options))
    affine = np.asarray(prepared.reference.affine, dtype=np.float64)
    with monitor.stage("Collecting"):
        layers, segments, exclusive = segmentation.decode(prediction.answer, loaded.labels, loaded.exclusive)
        if loaded.borders and exclusive:
            layers = _with_borders(layers[0], start, monitor)[None]
        layers = _whole(layers, prepared, options, loaded)
        sides = laterality_warning(Segmentation(layers, affine, segments, exclusive))
        layers, segments = add_groups(layers, segments, loaded.groups)
        segments = hide(segments, loaded.hidden)
        volumes = {
            name: prediction.volumes[channel] for name, channel in wanted.items() if channel in prediction.volumes
        }
        probability = {name: _whole(volume[None], prepared, options, loaded)[0] for name, volume in volumes.items()}
    notes = (*loaded.notes, *prepared.notes, *prediction.notes, *([sides] if sides else []))
    provenance = _provenance(loaded, prepared.by_name, options, prediction, monitor.seconds, notes)
    return Segmentation(layers, affine, segments, exclusive, provenance, probability)


def _with_borders(labels: npt.NDArray[Any], start: _Start, monitor: Monitor) -> npt.NDArray[Any]:
    """Return the labels with borders that follow the first channel of the input."""
    image = next(iter(start.regions.values()))
    spacing = np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0)[: labels.ndim]
    with monitor.aside("Borders"):
        return follow_borders(labels, image[0].numpy(), start.bundle.borders, spacing, monitor.ask)


def _detected(start: _Start, options: Options, monitor: Monitor) -> Detections:
    loaded, prepared, names = start.bundle, start.prepared, _classes(start)
    found = _detecting(start, options, monitor).boxes()
    affine = np.asarray(prepared.reference.affine, dtype=np.float64)
    with monitor.stage("Collecting"):
        corners = found.corners + corner(options.roi)
        boxes = detection.decode(corners, found.scores, found.classes, names, affine, found.more)
        region = next(iter(start.regions.values())).shape[1:]
        heatmaps = {
            names[number]: _whole(heat.reshape(1, *region), prepared, options, loaded)[0]
            for number, heat in found.heatmaps.items()
        }
    notes = (*loaded.notes, *prepared.notes, *found.notes)
    provenance = _provenance(loaded, prepared.by_name, options, found, monitor.seconds, notes)
    i, j, k = (*prepared.reference.shape[1:], 1)[:3]
    return Detections(boxes, names, loaded.score_threshold, (i, j, k), affine, provenance, heatmaps)


def _classified(start: _Start, options: Options, monitor: Monitor) -> Classification:
    loaded, prepared, pipeline = start.bundle, start.prepared, start.pipeline
    said = classify(loaded, pipeline, gather(loaded, start.regions), start.device, monitor, options)
    affine = np.asarray(prepared.reference.affine, dtype=np.float64)
    with monitor.stage("Collecting"):
        raw = classification.overall(said.probabilities, said.answers.exclusive, said.names)
        calibration = loaded.metadata.get(CALIBRATION)
        rows = said.probabilities
        if calibration is not None:
            rows = Calibration.from_plain(calibration, said.names).apply_to_probabilities(rows)
        probabilities = classification.overall(rows, said.answers.exclusive, said.names)
        i, j, k = (*prepared.reference.shape[1:], 1)[:3]
        slices = classification.by_slice(rows, k, options.roi) if said.parts.sliced else None
    region = next(iter(start.regions.values())).shape[1:]
    thresholds = classification.thresholds(loaded.metadata, said.names, said.answers.threshold)
    explaining = Explaining(loaded, pipeline, start.device, said, options, monitor)
    heatmaps = tuple(
        replace(heat, values=_whole(heat.values.reshape(1, *region), prepared, options, loaded)[0])
        for heat in explaining.heatmaps(probabilities, thresholds)
    )
    doubt = "" if said.answers.exclusive else classification.contradiction(said.names, probabilities, thresholds)
    notes = (*loaded.notes, *prepared.notes, *said.notes, *([doubt] if doubt else []))
    provenance = _provenance(loaded, prepared.by_name, options, said, monitor.seconds, notes)
    return Classification(
        labels=said.names,
        probabilities=probabilities,
        exclusive=said.answers.exclusive,
        thresholds=thresholds,
        shape=(i, j, k),
        affine=affine,
        uncalibrated=() if calibration is None else raw,
        slices=slices,
        unlike=said.unlike,
        heatmaps=heatmaps,
        provenance=provenance,
    )


def _detecting(start: _Start, options: Options, monitor: Monitor) -> Detecting:
    shown = detection.classes_of(options.probabilities, _classes(start))
    images = gather(start.bundle, start.regions)
    return Detecting(start.bundle, start.pipeline, images, start.device, monitor, options, shown)


def _classes(start: _Start) -> tuple[str, ...]:
    """Return the names of what a detector finds."""
    count = start.pipeline.detector.parts.num_classes if start.pipeline.detector else 0
    return detection.class_names(start.bundle.labels, count)


def plan(
    bundle: Bundle | str | Path,
    inputs: Image | Mapping[str, Image],
    options: Options = DEFAULTS,
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    *,
    build: Callable[[Bundle, torch.device], Pipeline] = Bundle.build,
) -> Plan | AsItIs | InParts:
    """Tell how `run` would compute and what that takes, without running more than one window.

    Arguments and errors are those of `run`; what won't fit raises MemoryLimitError here already.

    Example:
        >>> plan("torso_ct_segmentation", "ct.nii.gz").sentence  # doctest: +SKIP
        '27 windows on cpu, 4 at once, bfloat16 precision, 0.9 GB of 13.2 GB of memory, about 6 s.'
    """
    monitor = Monitor(progress, cancel)
    start = _started(bundle, inputs, options, monitor, build)
    if start.bundle.classifies:
        return foresee_parts(start.bundle, gather(start.bundle, start.regions), start.device, options)
    if start.bundle.detector:
        return _detecting(start, options, monitor).plan()
    return foresee(*start.arguments(monitor, options))


def mean_entropy(
    bundle: Bundle | str | Path,
    inputs: Image | Mapping[str, Image],
    options: Options = DEFAULTS,
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    *,
    build: Callable[[Bundle, torch.device], Pipeline] = Bundle.build,
) -> float:
    """Tell how unsure a segmentation network is of a study, 0 to 1, or infinity where it finds nothing.

    Those it is least sure of are worth outlining first. Arguments and errors are those of `run`; of the options,
    device and region count.

    Example:
        >>> sorted(scans, key=lambda scan: -mean_entropy("my_model", scan))  # doctest: +SKIP
    """
    monitor = Monitor(progress, cancel)
    start = _started(bundle, inputs, options, monitor, build)
    return uncertainty.mean_entropy(
        start.bundle, start.pipeline, gather(start.bundle, start.regions), start.device, monitor
    )


@dataclass(frozen=True)
class _Start:
    """All that a run begins with."""

    bundle: Bundle
    prepared: Prepared
    regions: Mapping[str, MetaTensor]
    pipeline: Pipeline
    device: torch.device
    wanted: Mapping[str, int]

    def arguments(self, monitor: Monitor, options: Options) -> tuple[Any, ...]:
        """Return what `predict` and `foresee` take."""
        images = gather(self.bundle, self.regions)
        voxels = math.prod(self.prepared.reference.shape[1:])
        return self.bundle, self.pipeline, images, self.device, monitor, options, list(self.wanted.values()), voxels


def _started(
    bundle: Bundle | str | Path,
    inputs: Image | Mapping[str, Image],
    options: Options,
    monitor: Monitor,
    build: Callable[[Bundle, torch.device], Pipeline],
) -> _Start:
    """Read and check what a run is given, and build the bundle."""
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    if loaded.task not in RUNNABLE:
        raise BundleError(
            f"The bundle {loaded.name!r} is for {loaded.task}; this version runs segmentation, detection and "
            "classification."
        )
    if loaded.task == "detection" and not loaded.detector:
        raise BundleError(f"The bundle {loaded.name!r} has no RetinaNetDetector; other detectors can't be run.")
    if options.heatmaps and not loaded.classifies:
        raise InputError(f"{loaded.name!r} is no classifier, so it has no heatmaps; ask for probabilities instead.")
    masks = not (loaded.detector or loaded.classifies)
    wanted = segmentation.channels_of(options.probabilities, loaded.labels) if masks else {}
    with monitor.stage("Checking the input"):
        check_room(loaded, inputs, options)
        prepared = prepare(loaded, inputs)
        regions = {name: crop(image, options.roi) for name, image in prepared.by_name.items()}
        for name, region in regions.items():
            checks.check_not_constant(region, label_of(name, regions), colours=loaded.classifies)
    with monitor.stage("Loading the model"):
        device = choose_device(options.device)
        with warnings.catch_warnings():
            # MONAI warns of defaults that change, which is for a bundle's author and not for its user.
            warnings.simplefilter("ignore", FutureWarning)
            pipeline = build(loaded, device)
    if loaded.classifies and (limits := range_of(pipeline.preprocessing)):
        names = list(regions)[: 1 if len(loaded.image_keys) > 1 else None]  # behind the first key there are masks
        label = label_of(names[0], dict.fromkeys(names))
        if limits == EIGHT_BITS:
            factor, note = checks.to_eight_bits([prepared.by_name[name] for name in names], label)
            regions |= {name: regions[name] * factor for name in names if note}
            prepared = replace(prepared, notes=(*prepared.notes, *([note] if note else [])))
        else:
            checks.check_within(prepared.by_name[names[0]], label, limits)
    return _Start(loaded, prepared, regions, pipeline, device, wanted)


def check_room(bundle: Bundle, inputs: Image | Mapping[str, Image], options: Options) -> None:
    """Look whether a classifier's picture will fit before it is decoded, which takes minutes where it is very large.

    Raises:
        MemoryLimitError: It won't, by the header of its file.
        InputError: Something is asked for that classifiers have not.
    """
    import torch
    from monai.data import MetaTensor

    given = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    if not bundle.classifies or options.roi is not None or len(given) != 1 or not isinstance(given[0], str | Path):
        return
    if size := picture_size(Path(given[0])):
        image = MetaTensor(torch.zeros(1).expand(bundle.input_channels, *size))  # which takes no memory
        parts_of(bundle, {bundle.input_key: image}, choose_device(options.device), options)


def _whole(layers: npt.NDArray[Any], prepared: Prepared, options: Options, bundle: Bundle) -> npt.NDArray[Any]:
    """Return layers (L, I, J, K) of the whole input; a picture is a volume of one slice."""
    whole = paste(layers, prepared.reference, options.roi)
    return whole if bundle.takes_volume or whole.ndim == 4 else whole[..., None]


def _provenance(
    bundle: Bundle,
    images: Mapping[str, MetaTensor],
    options: Options,
    prediction: Answer,
    seconds: Mapping[str, float],
    notes: tuple[str, ...],
) -> Provenance:
    return Provenance(
        bundle=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        input_sha256={name: digest(image) for name, image in images.items()},
        options=options.as_plain(),
        device=prediction.device,
        precision=prediction.precision,
        memory_step=prediction.memory_step,
        plan=prediction.plan,
        versions={"DeepImaging": __version__} | {name: metadata.version(name) for name in LIBRARIES},
        seconds={name: round(value, 3) for name, value in seconds.items()},
        peak_memory=peak_memory(),
        notes=notes,
    )

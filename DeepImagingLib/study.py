"""One study from files to files, as a job for any host: read, run, write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import InputError
from DeepImagingLib.options import Options
from DeepImagingLib.results import Classification, Detections

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.hosts import Context, Handle, Host, Outlook
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.results import Result

REPORT = ".json"
SEGMENTATION_ENDINGS = (".seg.nrrd", ".nii.gz", REPORT, ".mrb", ".png")
DETECTION_ENDINGS = (".csv", ".mrk.json", REPORT, ".mrb", ".png")
CLASSIFICATION_ENDINGS = (".csv", ".nii.gz", REPORT, ".mrb", ".png")
ENDINGS = tuple(dict.fromkeys((".mrk.json", *SEGMENTATION_ENDINGS, *DETECTION_ENDINGS)))
"""All there are; of two that a name has, the longer one comes first."""
UNNAMED = "scan"
"""The name of an image that the user gave none."""


@dataclass(frozen=True)
class Phantom:
    """A made torso CT in place of a file.

    Attributes:
        seed: Which body.
        spacing: mm.
    """

    seed: int
    spacing: tuple[float, float, float]
    title = "made torso"

    def image(self) -> MetaTensor:
        """Make it."""
        from DeepImagingLib.phantoms import torso_ct

        images, _ = torso_ct.sample(self.seed, self.spacing)
        return images["ct"]


@dataclass(frozen=True)
class Summary:
    """What a study tells of its result; the voxels are in the files.

    Attributes:
        report: As `files.report` gives it, or of a detector `files.findings_report`, or of a classifier
            `files.classes_report`.
        millilitres: Volume of each segment by its id; none of boxes and probabilities.
        written: For each output, the names of the files that it became: itself, or one a segment where these overlap,
            and those of groups and probability volumes.
    """

    report: Mapping[str, Any]
    millilitres: Mapping[str, float]
    written: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StudyJob:
    """Reads a study, runs a bundle on it and writes what it found, wherever a host does it.

    Paths become absolute here, because a worker starts in a folder of its own.

    Attributes:
        model: A bundle's name or folder.
        inputs: Input names to files or folders; UNNAMED where the user gave no name.
        outputs: Files to write, by whose endings the writers are chosen.
        options: How to run.
        region: A region file that takes the place of the options' region.
        series: Which series of a DICOM folder.
        trust: Digest of a bundle that is let through unjudged.

    Raises:
        BundleError: There is no such bundle.
    """

    model: str | Path
    inputs: Mapping[str, Path | Phantom] = field(repr=False)
    outputs: tuple[Path, ...] = field(repr=False)
    options: Options = field(default_factory=Options)
    region: Path | None = field(default=None, repr=False)
    series: str | None = field(default=None, repr=False)
    trust: str | None = None

    def __post_init__(self) -> None:
        """Make every path absolute."""
        from DeepImagingLib.bundles.find import find_bundle

        inputs = {n: _absolute(given) if isinstance(given, Path) else given for n, given in self.inputs.items()}
        object.__setattr__(self, "model", _absolute(find_bundle(self.model)))
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "outputs", tuple(map(_absolute, self.outputs)))
        object.__setattr__(self, "region", self.region and _absolute(self.region))

    @property
    def sources(self) -> list[Path]:
        """The files and folders that are read, which no output may replace."""
        return [given for given in (*self.inputs.values(), self.region) if isinstance(given, Path)]

    def perform(self, context: Context) -> Summary:
        """Read, run, write; whoever submits it removes what was written where this raises.

        Raises:
            InputError, BundleError, OutputError, MemoryLimitError, CancelledError: As the steps do.
        """
        from DeepImagingLib import files
        from DeepImagingLib.inference.progress import Monitor
        from DeepImagingLib.road import run

        monitor = Monitor(context.progress, context.cancel)
        bundle, images, options = self._taken(context, monitor)
        result = run(bundle, _given(images), options, context.progress, context.cancel, build=context.models.build)
        result, written = self._write(result, images, bundle, monitor)
        names = tuple(written[path] for path in self.outputs)
        if isinstance(result, Detections):
            return Summary(files.findings_report(result), {}, names)
        if isinstance(result, Classification):
            return Summary(files.classes_report(result), {}, names)
        return Summary(files.report(result), result.millilitres(), names)

    def _taken(self, context: Context, monitor: Monitor) -> tuple[Bundle, dict[str, MetaTensor], Options]:
        """Return the bundle, the images, and the options with the region."""
        from DeepImagingLib import files
        from DeepImagingLib.road import check_room
        from DeepImagingLib.tasks.segmentation import channels_of

        with monitor.stage("Reading the model"):
            bundle = context.models.load(self.model, self.trust)
            check_outputs(self.outputs, bundle)
            maps = self.options.heatmaps or bundle.patch
            if bundle.classifies and not maps and any(ending_of(path) == ".nii.gz" for path in self.outputs):
                raise InputError("A classifier writes its heatmaps as .nii.gz; name some with --heatmaps, `top` say.")
            if not (bundle.detector or bundle.classifies):
                channels_of(self.options.probabilities, bundle.labels)  # a wrong name is told before a scan is read
            if self.region is None:
                check_room(bundle, self.inputs, self.options)
        images = self._read(monitor)
        options = self.options
        if self.region is not None:
            options = replace(options, roi=files.read_roi(self.region, next(iter(images.values()))))
        return bundle, images, options

    def _read(self, monitor: Monitor) -> dict[str, MetaTensor]:
        from DeepImagingLib import files

        images: dict[str, MetaTensor] = {}
        with monitor.stage("Reading files"):
            for name, given in self.inputs.items():
                monitor.update(len(images) / len(self.inputs))
                images[name] = given.image() if isinstance(given, Phantom) else files.read(given, series=self.series)
        return images

    def _write(
        self, result: Result, images: Mapping[str, MetaTensor], bundle: Bundle, monitor: Monitor
    ) -> tuple[Result, dict[Path, tuple[str, ...]]]:
        """Write each output; the report comes last, so that it knows how long the others took.

        Returns:
            The result with these seconds, and for each output the names of its files.
        """
        from DeepImagingLib.files import failed_writing

        titled = {self._title if name == UNNAMED else name: image for name, image in images.items()}
        writers = _writers(result, titled, bundle)
        result = _with_seconds(result, monitor.seconds)
        written: dict[Path, tuple[str, ...]] = {}
        for path in sorted(self.outputs, key=lambda path: ending_of(path) == REPORT):
            try:
                with monitor.stage(f"Writing {ending_of(path)}"):
                    written[path] = tuple(file.name for file in writers[ending_of(path)](result, path))
            except OSError as error:
                raise failed_writing(error) from error
            result = _with_seconds(result, monitor.seconds)
        return result, written

    @property
    def _title(self) -> str:
        """What a scene calls an image that has no name: the file's, without its ending."""
        first = next(iter(self.inputs.values()))
        if isinstance(first, Phantom):
            return first.title
        return first.name if first.is_dir() else re.sub(r"(\.\w+)?\.\w+$", "", first.name) or first.name


@dataclass(frozen=True)
class DryRun:
    """Reads a study and tells how a run of it would go; nothing is written.

    Attributes:
        study: What would be run.
    """

    study: StudyJob

    def perform(self, context: Context) -> Outlook:
        """Read and plan; raises as `StudyJob.perform` does."""
        from DeepImagingLib.hosts.outlook import outlook_of
        from DeepImagingLib.inference.progress import Monitor
        from DeepImagingLib.road import plan

        bundle, images, options = self.study._taken(context, Monitor(context.progress, context.cancel))
        return outlook_of(
            plan(bundle, _given(images), options, context.progress, context.cancel, build=context.models.build)
        )


def perform(
    job: StudyJob,
    host: Host,
    listener: Callable[[Handle], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Summary:
    """Do a study on a host and wait for it; all outputs appear, or none.

    Raises:
        DeepImagingError: As `StudyJob.perform` does; InputError where an output can't be written there.
    """
    from DeepImagingLib.files import staged

    finals = [checked_output(path, job.sources) for path in job.outputs]
    with staged(finals, lambda path: _is_input(path, job.sources)) as stages:
        # The files are moved into place here, not by the job: its process may be ended at any moment.
        job = replace(job, outputs=tuple(stages.values()))
        summary: Summary = host.submit(job, listener=listener, cancel=cancel).result()
        return summary


def _given(images: dict[str, MetaTensor]) -> MetaTensor | dict[str, MetaTensor]:
    """Return images as `road.run` takes them."""
    return images[UNNAMED] if list(images) == [UNNAMED] else images


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def checked_output(path: Path, sources: Sequence[Path] = ()) -> Path:
    """Return the absolute path.

    Raises:
        InputError: No writer knows the ending or can work here, or the file is one of the inputs.
    """
    if not path.name.lower().endswith(ENDINGS):
        raise InputError(f"The output {path.name!r} has no known ending; use one of {', '.join(ENDINGS)}.")
    path = _absolute(path)
    if _is_input(path, sources):
        raise InputError(f"The output {path.name!r} would replace an input; give it another name.")
    if ending_of(path) in (".mrb", ".mrk.json"):
        from DeepImagingLib.scene.host import require

        require()
    return path


def check_outputs(paths: Sequence[Path], bundle: Bundle) -> None:
    """Raise InputError where a bundle's answers can't be written to one of the files."""
    finds, endings = "segments", SEGMENTATION_ENDINGS
    if bundle.detector:
        finds, endings = "boxes", DETECTION_ENDINGS
    elif bundle.classifies:
        finds, endings = "probabilities", CLASSIFICATION_ENDINGS
    other = [path.name for path in paths if ending_of(path) not in endings]
    if other:
        raise InputError(
            f"The bundle {bundle.name!r} finds {finds}, which {other[0]!r} can't hold; write {', '.join(endings)}."
        )


def _is_input(path: Path, sources: Sequence[Path]) -> bool:
    return any(_is_read(path.resolve(), source.resolve()) for source in sources)


def _is_read(path: Path, source: Path) -> bool:
    """Tell whether a file is the source, or one of the DICOM files in it."""
    from DeepImagingLib.files.dicom import is_dicom

    return path == source or (path.is_relative_to(source) and is_dicom(path))


def _writers(
    result: Result, images: Mapping[str, MetaTensor], bundle: Bundle
) -> Mapping[str, Callable[[Any, Path], list[Path]]]:
    """Return a writer for each ending; the scene and its picture share one scene."""
    from DeepImagingLib import files, scene

    if isinstance(result, Detections):
        boxes = scene.DetectionsExport(result, images, bundle.modality)
        return {
            **files.DETECTION_WRITERS,
            ".mrk.json": lambda _, path: boxes.write_markups(path),
            ".mrb": lambda _, path: boxes.write_mrb(path),
            ".png": lambda _, path: boxes.write_png(path),
        }
    if isinstance(result, Classification):
        classes = scene.ClassificationExport(result, images, bundle.modality)
        return {
            **files.CLASSIFICATION_WRITERS,
            ".mrb": lambda _, path: classes.write_mrb(path),
            ".png": lambda _, path: classes.write_png(path),
        }
    export = scene.ResultExport(result, images, bundle.modality)
    return {
        **files.SEGMENTATION_WRITERS,
        ".mrb": lambda _, path: export.write_mrb(path),
        ".png": lambda _, path: export.write_png(path),
    }


def _with_seconds(result: Result, further: Mapping[str, float]) -> Result:
    """Return the result with the seconds of further stages, and the memory that the process has needed by now."""
    from DeepImagingLib.inference.memory import peak_memory

    if result.provenance is None:
        return result
    seconds = {**result.provenance.seconds, **{stage: round(value, 3) for stage, value in further.items()}}
    return replace(result, provenance=replace(result.provenance, seconds=seconds, peak_memory=peak_memory()))


def ending_of(path: Path) -> str:
    """Return which of the known endings a path has."""
    return next(ending for ending in ENDINGS if path.name.lower().endswith(ending))

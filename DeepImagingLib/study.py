"""One study from files to files: read, run, write. The command line and the demo walk this; batch will."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from DeepImagingLib.errors import CancelledError, InputError
from DeepImagingLib.options import Options

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.inference.progress import Progress
    from DeepImagingLib.results import Result

SCENE_ENDINGS = (".mrb", ".png")
FILE_ENDINGS = (".seg.nrrd", ".nii.gz", ".json")
ENDINGS = FILE_ENDINGS + SCENE_ENDINGS
REPORT = ".json"
UNNAMED = "scan"
"""The name of an image that the user gave none."""

NOTHING: Mapping[str, float] = {}

ImageSource = Callable[[], "dict[str, MetaTensor]"]


def process(
    model: str | Path,
    read_images: ImageSource,
    outputs: Sequence[Path],
    make_options: Callable[[Mapping[str, MetaTensor]], Options] = lambda _: Options(),
    *,
    sources: Sequence[Path] = (),
    title: str = "",
    trust: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] = lambda: False,
) -> Result:
    """Run one study and write all outputs, or none.

    Args:
        model: A bundle's name or folder.
        read_images: Gives name to image (C, I, J, K); called once the outputs are known to be writable.
        outputs: Files, by whose endings the writers are chosen.
        make_options: Gives the options, once the images are known.
        sources: The files and folders that `read_images` reads, which no output may replace.
        title: What the scene calls an image that has no name; the first source's file name where empty.
        trust: Digest of a bundle that is let through unjudged.
        progress: Called with the stage, its fraction done and the seconds left.
        cancel: Asked at each step; the run stops where it answers True, and nothing is written.

    Returns:
        The result, with the seconds of reading and writing in its provenance.

    Raises:
        InputError, BundleError, OutputError, MemoryLimitError, CancelledError: As the steps do.
    """
    from DeepImagingLib import files
    from DeepImagingLib.bundles import load_bundle
    from DeepImagingLib.road import run

    finals = [checked_output(path, sources) for path in outputs]
    with files.staged(finals) as stages:
        bundle = load_bundle(model, trust=trust)
        started = time.perf_counter()
        stop_if(cancel)
        images = read_images()
        stop_if(cancel)
        reading = {"Reading files": time.perf_counter() - started}
        result = run(bundle, only_image(images), make_options(images), progress, cancel)
        result = _with_seconds(result, before=reading)
        titled = {title or _title(sources) if name == UNNAMED else name: image for name, image in images.items()}
        result = write_outputs(result, stages, titled, bundle, cancel)
        stop_if(cancel)
        return result


def stop_if(cancel: Callable[[], bool]) -> None:
    """Raise CancelledError where the user asked to stop."""
    if cancel():
        raise CancelledError("The run was cancelled; nothing was kept.")


def _title(sources: Sequence[Path]) -> str:
    """Return the first source's name without its ending, as scenes show it."""
    if not sources:
        return UNNAMED
    name = sources[0].name
    return name if sources[0].is_dir() else re.sub(r"(\.\w+)?\.\w+$", "", name) or name


def only_image(images: Mapping[str, MetaTensor]) -> MetaTensor | Mapping[str, MetaTensor]:
    """Return the image itself where the user gave one and no name for it: it is the bundle's one input."""
    return images[UNNAMED] if list(images) == [UNNAMED] else images


def checked_output(path: Path, sources: Sequence[Path] = ()) -> Path:
    """Return the absolute path.

    Raises:
        InputError: No writer knows the ending or can work here, or the file is one of the inputs.
    """
    if not path.name.lower().endswith(ENDINGS):
        raise InputError(f"The output {path.name!r} has no known ending; use one of {', '.join(ENDINGS)}.")
    path = path.expanduser().absolute()
    if any(_is_read(path.resolve(), source.resolve()) for source in sources):
        raise InputError(f"The output {path.name!r} would replace an input; give it another name.")
    if ending_of(path) == ".mrb":
        from DeepImagingLib.scene.host import require

        require()
    return path


def _is_read(path: Path, source: Path) -> bool:
    """Tell whether a file is the source, or one of the DICOM files in it."""
    from DeepImagingLib.files.dicom import is_dicom

    return path == source or (path.is_relative_to(source) and is_dicom(path))


def write_outputs(
    result: Result,
    stages: Mapping[Path, Path],
    images: Mapping[str, MetaTensor],
    bundle: Bundle,
    cancel: Callable[[], bool] = lambda: False,
) -> Result:
    """Write each output by its ending; the report comes last, so that it knows how long the others took.

    Args:
        result: What to write.
        stages: Final path → where to write it now.
        images: Name to image (C, I, J, K), for scenes and pictures.
        bundle: Whose modality chooses the window a scan is shown with.
        cancel: Asked before each output.

    Returns:
        The result, with the seconds of each writer in its provenance.
    """
    from DeepImagingLib.files import failed_writing

    writers = _writers(result, images, bundle)
    for final, stage in sorted(stages.items(), key=lambda item: ending_of(item[0]) == REPORT):
        stop_if(cancel)
        started = time.perf_counter()
        try:
            writers[ending_of(final)](result, stage)
        except OSError as error:
            raise failed_writing(error) from error
        result = _with_seconds(result, after={f"Writing {ending_of(final)}": time.perf_counter() - started})
    return result


def _writers(
    result: Result, images: Mapping[str, MetaTensor], bundle: Bundle
) -> dict[str, Callable[[Result, Path], object]]:
    """Return a writer for each ending; the scene and its picture share one scene."""
    from DeepImagingLib import files, scene

    export = scene.ResultExport(result, images, bundle.modality)
    return {
        **files.SEGMENTATION_WRITERS,
        ".mrb": lambda _, path: export.write_mrb(path),
        ".png": lambda _, path: export.write_png(path),
    }


def _with_seconds(
    result: Result, before: Mapping[str, float] = NOTHING, after: Mapping[str, float] = NOTHING
) -> Result:
    """Return the result with the seconds of further stages, and the memory that the process has needed by now."""
    from DeepImagingLib.inference.memory import peak_memory

    if result.provenance is None:
        return result
    seconds = {**before, **result.provenance.seconds, **after}
    rounded = {stage: round(value, 3) for stage, value in seconds.items()}
    return replace(result, provenance=replace(result.provenance, seconds=rounded, peak_memory=peak_memory()))


def ending_of(path: Path) -> str:
    """Return which of the known endings a path has."""
    return next(ending for ending in ENDINGS if path.name.lower().endswith(ending))

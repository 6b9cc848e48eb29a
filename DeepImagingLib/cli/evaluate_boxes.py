"""`evaluate` of a detector: its boxes beside what is known of phantoms, or of a folder's scans."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.cli.console import Interrupt, ProgressLine, print_json
from DeepImagingLib.cli.evaluating import ahead, seeds, shown
from DeepImagingLib.errors import CancelledError, DeepImagingError, InputError
from DeepImagingLib.files.lesions import NODULE
from DeepImagingLib.options import Options

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.batch.studies import Study
    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.evaluation import Hit, Scan
    from DeepImagingLib.files import Reference
    from DeepImagingLib.results import Detections


def evaluate_boxes(parsed: argparse.Namespace, interrupt: Interrupt, bundle: Bundle, told: dict[str, Any]) -> int:
    """Run it on each scan, measure, write, and tell the main figures; 1 where a scan was left out."""
    from DeepImagingLib.evaluation import Hit, judge, summary, write_report

    hit, output = Hit(parsed.hit), Path(parsed.output)
    _check_folder(output)
    folder = _Folder(Path(parsed.data), bundle, hit) if parsed.data else None
    labels = _compared(bundle, folder)
    cases, failed = folder.cases() if folder else _phantoms(parsed.phantoms), {}
    scans: list[Scan] = []
    threshold = bundle.score_threshold
    with ProgressLine(sys.stderr.isatty()) as line, closing(ahead(cases)) as read:
        for case in read:
            try:
                found = _found(bundle, case, Options(device=parsed.device), line, interrupt)
            except CancelledError:
                raise
            except DeepImagingError as error:
                failed[case.name] = str(error)
                continue
            scans.append(_scan(case, found, labels))
            threshold = found.threshold
            if interrupt():
                raise CancelledError("The evaluation was stopped; nothing was written.")
    if not scans:
        raise InputError(f"No scan could be evaluated; of the first: {next(iter(failed.values()))}")
    outcomes = [judge(scan, hit) for scan in scans]
    told |= summary(scans, outcomes, hit, threshold)
    told |= {"references": folder.references.told()} if folder else {}
    told |= {"labels": "compared" if labels else "not compared"} if len(bundle.labels) > 1 else {}
    told |= {"failed": failed} if failed else {}
    written = write_report(output, scans, outcomes, told, f"{bundle.name} on {told['on']}")
    if parsed.json:
        print_json(told)
    else:
        _tell_boxes(told, written)
    return 1 if failed else 0


def _compared(bundle: Bundle, folder: _Folder | None) -> bool:
    """Tell whether a box has to have its lesion's label: the model has several, and the references no other."""
    known = set(bundle.labels.values())
    return len(known) > 1 and (folder.references.labels if folder else {NODULE}) <= known


def _check_folder(folder: Path) -> None:
    """Raise InputError where no results could be written, before hours of runs."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(f"Nothing can be written to {str(folder)!r}; name another folder with --output.")


def _found(bundle: Bundle, case: _Case, options: Options, line: ProgressLine, interrupt: Interrupt) -> Detections:
    from DeepImagingLib import run
    from DeepImagingLib.results import Detections

    if case.problem:
        raise InputError(case.problem)
    assert case.image is not None  # where there is no problem
    found = run(bundle, case.image, options, progress=line, cancel=interrupt)
    assert isinstance(found, Detections)  # of a detector
    return found


def _tell_boxes(told: dict[str, Any], written: tuple[Path, ...]) -> None:
    default, references = told["at_default_threshold"], told.get("references", {})
    print(f"{told['lesions']} lesions in {told['scans']} scans")
    if lost := references.get("scans_without_entry"):
        print(f"{lost} scans have no entry in {references['from']}, and count as without lesions.")
    if lost := references.get("entries_without_scan"):
        print(f"{lost} entries of {references['from']} have no scan, and were left out.")
    if unseen := references.get("findings_not_reviewed"):
        print(f"{unseen} of the findings that count as lesions were made by a model, and nobody has reviewed them.")
    for name, reason in told.get("failed", {}).items():
        print(f"{name} was left out: {reason}")
    print(f"Mean sensitivity at 1/8 to 8 false positives a scan: {shown(told['cpm'])}")
    print(
        f"At the default threshold of {default['threshold']:g}: sensitivity {shown(default['sensitivity'])}, "
        f"{default['false_positives']:.2f} false positives a scan"
    )
    for path in written:
        print(f"Wrote {path}")


@dataclass(frozen=True)
class _Case:
    """A scan and what there is in it; `problem` says why it can't be run."""

    name: str
    image: MetaTensor | None
    lesions: Sequence[Reference] = ()
    problem: str = ""


def _phantoms(words: str) -> Iterator[_Case]:
    from DeepImagingLib.files import Reference
    from DeepImagingLib.phantoms import lung_nodules

    for seed in seeds(words):
        images, nodules = lung_nodules.sample(seed)
        lesions = [Reference(one.center, (one.diameter,) * 3, NODULE) for one in nodules]
        yield _Case(f"phantom {seed}", images["ct"], lesions)


class _Folder:
    """Scans in a folder, and what is known of them; an unusable table is told before anything is run."""

    def __init__(self, folder: Path, bundle: Bundle, hit: Hit) -> None:
        from DeepImagingLib.batch.find import find_studies
        from DeepImagingLib.evaluation import Hit
        from DeepImagingLib.evaluation.references import Place, References

        self._studies = find_studies(folder, bundle)
        self._places = {s.name: Place(s.name, next(iter(s.inputs.values()))) for s in self._studies if _is_one(s)}
        self.references = References(folder, list(self._places.values()))
        if hit is Hit.IOU and self.references.has_places_alone:
            raise InputError(f"{self.references.table} tells no sizes to overlap with; take --hit centre.")

    def cases(self) -> Iterator[_Case]:
        """Yield each scan with its lesions."""
        from DeepImagingLib.files import read

        for study in self._studies:
            if not _is_one(study):
                yield _Case(study.name, None, problem=study.problem or "It has several images; detectors take one.")
                continue
            try:
                image = read(self._places[study.name].path)
            except DeepImagingError as error:
                yield _Case(study.name, None, problem=str(error))
                continue
            yield _Case(study.name, image, self.references.of(self._places[study.name], image))


def _is_one(study: Study) -> bool:
    return not study.problem and len(study.inputs) == 1


def _scan(case: _Case, found: Detections, labels: bool) -> Scan:
    """Return boxes and lesions along the axes of the image's voxels, with labels where these count."""
    import numpy as np

    from DeepImagingLib.evaluation import Scan
    from DeepImagingLib.evaluation.references import rows_of

    axes = np.asarray(found.boxes[0].axes) if found.boxes else np.eye(3)
    boxes = np.array([(*axes.T @ box.center, *box.size) for box in found.boxes]).reshape(-1, 6)
    lesions = rows_of(case.lesions)
    lengths = lesions[:, 3:][:, np.abs(axes).argmax(axis=0)]
    turned = np.concatenate([lesions[:, :3] @ axes, lengths], axis=1)
    return Scan(
        case.name,
        boxes,
        np.array([box.score for box in found.boxes]),
        turned,
        tuple(box.label for box in found.boxes) if labels else None,
        tuple(one.label for one in case.lesions),
        axes,
        np.array([one.diameter for one in case.lesions], float),
    )

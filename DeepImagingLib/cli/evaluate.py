"""`evaluate`: how well a detector or classifier does, on phantoms or on images whose truth is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from DeepImagingLib.cli.console import Interrupt, ProgressLine, print_json
from DeepImagingLib.errors import BundleError, CancelledError, InputError
from DeepImagingLib.options import METHODS, Options

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.evaluation import Scan
    from DeepImagingLib.evaluation.hits import Numbers
    from DeepImagingLib.results import Detections

    Case = tuple[str, MetaTensor, Numbers]

T = TypeVar("T")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    parser.add_argument("model", metavar="NAME|PATH", help="the bundle of a detector or classifier")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="scans with annotations.csv, DL_info.csv, or NAME.json each; pictures with a table of labels",
    )
    parser.add_argument("--list", metavar="FILE", help="of a folder's pictures, only those in this list")
    parser.add_argument("--phantoms", metavar="FIRST:LAST", help="made chests of the seeds FIRST ≤ seed < LAST")
    parser.add_argument(
        "--exposures",
        metavar="N",
        type=int,
        default=1,
        help="of a classifier, radiographs of each phantom, with findings of their own",
    )
    parser.add_argument(
        "--output", metavar="DIR", required=True, help="folder of evaluation.json, a table, and curves as pictures"
    )
    parser.add_argument(
        "--explanations", action="store_true", help="of a classifier, measure its heatmaps where findings have a place"
    )
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help="how heatmaps are made")
    parser.add_argument("--hit", choices=("centre", "iou"), default="centre", help="what counts as found")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--trust", metavar="SHA256", help="run a foreign bundle of this exact content")
    parser.add_argument("--json", action="store_true", help="print evaluation.json on stdout")
    parser.set_defaults(command=evaluate)


def evaluate(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Run the model on each scan, measure, write, and tell the main figures."""
    from DeepImagingLib.bundles import load_bundle

    if bool(parsed.data) == bool(parsed.phantoms):
        raise InputError("Say what to evaluate on: either --data DIR or --phantoms FIRST:LAST.")
    if parsed.list and not parsed.data:
        raise InputError("--list takes some of a folder's pictures; name the folder with --data.")
    if parsed.exposures < 1:
        raise InputError(f"--exposures says how many radiographs to take of each phantom; {parsed.exposures} is none.")
    bundle = load_bundle(parsed.model, parsed.trust)
    if parsed.exposures != 1 and not (parsed.phantoms and bundle.classifies):
        raise InputError("--exposures are radiographs of --phantoms, for a classifier; leave it out.")
    told: dict[str, Any] = {"model": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    told |= {"on": f"phantoms {parsed.phantoms}" if parsed.phantoms else Path(parsed.data).name}
    if bundle.classifies:
        return _evaluate_classes(parsed, interrupt, bundle, told)
    if bundle.task != "detection":
        raise BundleError(
            f"The bundle {bundle.name!r} is for {bundle.task}; name a detector or a classifier, which can be judged."
        )
    return _evaluate_boxes(parsed, interrupt, bundle, told)


def _evaluate_classes(parsed: argparse.Namespace, interrupt: Interrupt, bundle: Bundle, told: dict[str, Any]) -> int:
    from DeepImagingLib import run
    from DeepImagingLib.evaluation.class_cases import pictures, radiographs
    from DeepImagingLib.evaluation.class_measures import PUBLISHED, measure, published
    from DeepImagingLib.hosts.warm import WarmModels
    from DeepImagingLib.results import Classification

    if parsed.phantoms:
        cases = radiographs(_seeds(parsed.phantoms), parsed.exposures)
        told["on"] += f", {parsed.exposures} radiographs of each" if parsed.exposures > 1 else ""
    else:
        cases = pictures(Path(parsed.data), parsed.list)
    if known := published(bundle.metadata):
        told |= {PUBLISHED: known}
    options = Options(device=parsed.device, heatmaps=("all",) if parsed.explanations else (), method=parsed.method)
    with ProgressLine(sys.stderr.isatty()) as line, closing(_ahead(cases)) as ahead:
        models = WarmModels()  # the network stays built in between

        def once(image: MetaTensor, options: Options) -> Classification:
            result = run(bundle, image, options, build=models.build, progress=line, cancel=interrupt)
            assert isinstance(result, Classification)  # of a classifier
            return result

        told, written = measure(bundle, ahead, once, options, Path(parsed.output), told)
    if parsed.json:
        print_json(told)
    else:
        _tell_classes(told, written)
    return 0


def _tell_classes(told: dict[str, Any], written: tuple[Path, ...]) -> None:
    from DeepImagingLib.evaluation.class_measures import PUBLISHED

    known = told.get(PUBLISHED, {})
    print(
        f"{told['images']} images, macro AUROC {_shown(told['macro_auroc'])}, calibration error {_shown(told['ece'])}"
    )
    for label, figures in told["labels"].items():
        beside = f", published {known['auroc'][label]:.4f}" if label in known.get("auroc", ()) else ""
        print(f"{label:<24} AUROC {_shown(figures['auroc'])}{beside}, {figures['images']} images")
    if known:
        print(f"Published: {known['source']}, on {known['on']}.")
    for method, figures in told.get("explanations", {}).items():
        for name, figure in figures.items():
            if name != "labels":
                print(f"{method}, {name}: {_shown(figure['mean'])} of {figure['heatmaps']} heatmaps")
    for path in written:
        print(f"Wrote {path}")


def _evaluate_boxes(parsed: argparse.Namespace, interrupt: Interrupt, bundle: Bundle, told: dict[str, Any]) -> int:
    from DeepImagingLib import run
    from DeepImagingLib.evaluation import Hit, judge, summary, write_report
    from DeepImagingLib.results import Detections

    cases = _in_folder(Path(parsed.data), bundle) if parsed.data else _phantoms(parsed.phantoms)
    options, hit = Options(device=parsed.device), Hit(parsed.hit)
    scans: list[Scan] = []
    threshold = 0.0
    with ProgressLine(sys.stderr.isatty()) as line, closing(_ahead(cases)) as ahead:
        for name, image, lesions in ahead:
            found = run(bundle, image, options, progress=line, cancel=interrupt)
            assert isinstance(found, Detections)  # of a detector
            scans.append(_scan(name, found, lesions))
            threshold = found.threshold
            if interrupt():
                raise CancelledError("The evaluation was stopped; nothing was written.")
    outcomes = [judge(scan, hit) for scan in scans]
    told |= summary(scans, outcomes, hit, threshold)
    written = write_report(Path(parsed.output), scans, outcomes, told, f"{bundle.name} on {told['on']}")
    if parsed.json:
        print_json(told)
        return 0
    default = told["at_default_threshold"]
    print(f"{told['lesions']} lesions in {told['scans']} scans")
    print(f"Mean sensitivity at 1/8 to 8 false positives a scan: {_shown(told['cpm'])}")
    print(
        f"At the default threshold of {default['threshold']:g}: sensitivity {_shown(default['sensitivity'])}, "
        f"{default['false_positives']:.2f} false positives a scan"
    )
    for path in written:
        print(f"Wrote {path}")
    return 0


def _ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield each item while another thread draws or reads the next one, which takes about as long as a run."""
    from concurrent.futures import ThreadPoolExecutor

    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, items, end)
            yield cast(T, item)


def _shown(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


def _phantoms(words: str) -> Iterator[Case]:
    import numpy as np

    from DeepImagingLib.phantoms import lung_nodules

    for seed in _seeds(words):
        images, nodules = lung_nodules.sample(seed)
        lesions = np.array([(*n.center, *[n.diameter] * 3) for n in nodules], float).reshape(-1, 6)
        yield f"phantom {seed}", images["ct"], lesions


def _seeds(words: str) -> range:
    first, _, last = words.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise InputError(f"{words!r} names no seeds; write FIRST:LAST, such as 1000000:1000100.")
    return range(int(first), int(last))


def _in_folder(folder: Path, bundle: Bundle) -> Iterator[Case]:
    from DeepImagingLib.batch.find import find_studies
    from DeepImagingLib.evaluation.references import References
    from DeepImagingLib.files import read

    references = References(folder)
    for study in find_studies(folder, bundle):
        if study.problem or len(study.inputs) != 1:
            raise InputError(study.problem or f"{study.name} has several images; detectors are evaluated on one.")
        image = read(next(iter(study.inputs.values())))
        yield study.name, image, references.of(study.name, image)


def _scan(name: str, found: Detections, lesions: Numbers) -> Scan:
    """Return boxes and lesions along the axes of the image's voxels."""
    import numpy as np

    from DeepImagingLib.evaluation import Scan

    axes = np.asarray(found.boxes[0].axes) if found.boxes else np.eye(3)
    boxes = np.array([(*axes.T @ box.center, *box.size) for box in found.boxes]).reshape(-1, 6)
    lengths = lesions[:, 3:][:, np.abs(axes).argmax(axis=0)]
    turned = np.concatenate([lesions[:, :3] @ axes, lengths], axis=1)
    return Scan(name, boxes, np.array([box.score for box in found.boxes]), turned)

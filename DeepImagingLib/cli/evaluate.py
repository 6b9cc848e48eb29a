"""`evaluate`: how well a detector or classifier does, on phantoms or on images whose truth is known."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.cli.console import Interrupt, ProgressLine, print_json
from DeepImagingLib.cli.evaluate_boxes import evaluate_boxes
from DeepImagingLib.cli.evaluating import ahead, seeds, shown
from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.options import METHODS, Options

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.results import Classification


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    parser.add_argument("model", metavar="NAME|PATH", help="the bundle of a detector or classifier")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="scans with annotations.csv, candidates.csv, DL_info.csv or NAME.json each; pictures with labels",
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
    return evaluate_boxes(parsed, interrupt, bundle, told)


def _evaluate_classes(parsed: argparse.Namespace, interrupt: Interrupt, bundle: Bundle, told: dict[str, Any]) -> int:
    from DeepImagingLib import run
    from DeepImagingLib.evaluation.class_cases import pictures, radiographs
    from DeepImagingLib.evaluation.class_measures import PUBLISHED, measure, published
    from DeepImagingLib.hosts.warm import WarmModels
    from DeepImagingLib.results import Classification

    if parsed.phantoms:
        cases = radiographs(seeds(parsed.phantoms), parsed.exposures)
        told["on"] += f", {parsed.exposures} radiographs of each" if parsed.exposures > 1 else ""
    else:
        cases = pictures(Path(parsed.data), parsed.list)
    if known := published(bundle.metadata):
        told |= {PUBLISHED: known}
    options = Options(device=parsed.device, heatmaps=("all",) if parsed.explanations else (), method=parsed.method)
    with ProgressLine(sys.stderr.isatty()) as line, closing(ahead(cases)) as read:
        models = WarmModels()  # the network stays built in between

        def once(image: MetaTensor, options: Options) -> Classification:
            result = run(bundle, image, options, build=models.build, progress=line, cancel=interrupt)
            assert isinstance(result, Classification)  # of a classifier
            return result

        told, written = measure(bundle, read, once, options, Path(parsed.output), told)
    if parsed.json:
        print_json(told)
    else:
        _tell_classes(told, written)
    return 0


def _tell_classes(told: dict[str, Any], written: tuple[Path, ...]) -> None:
    from DeepImagingLib.evaluation.class_measures import PUBLISHED

    known = told.get(PUBLISHED, {})
    print(f"{told['images']} images, macro AUROC {shown(told['macro_auroc'])}, calibration error {shown(told['ece'])}")
    for label, figures in told["labels"].items():
        beside = f", published {known['auroc'][label]:.4f}" if label in known.get("auroc", ()) else ""
        print(f"{label:<24} AUROC {shown(figures['auroc'])}{beside}, {figures['images']} images")
    if known:
        print(f"Published: {known['source']}, on {known['on']}.")
    for method, figures in told.get("explanations", {}).items():
        for name, figure in figures.items():
            if name != "labels":
                print(f"{method}, {name}: {shown(figure['mean'])} of {figure['heatmaps']} heatmaps")
    for path in written:
        print(f"Wrote {path}")

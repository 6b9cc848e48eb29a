"""`models`: tells what bundles are there, adds and removes the user's own, and makes one of given weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from DeepImagingLib.cli.console import Interrupt, print_json, print_table
from DeepImagingLib.errors import BundleError, TrustError

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle


def add_models(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    models = parser.add_subparsers(dest="what", required=True)
    listing = models.add_parser("list", help="list the bundles in the model folders")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(command=list_models)
    showing = models.add_parser("show", help="tell what one bundle takes and gives")
    showing.add_argument("model", metavar="NAME|PATH")
    showing.add_argument("--trust", metavar="SHA256", help="let this exact content through unjudged")
    showing.add_argument("--json", action="store_true", help="as JSON")
    showing.set_defaults(command=show_model)
    adding = models.add_parser("add", help="copy a bundle into your model folder")
    adding.add_argument("path", metavar="PATH", help="its folder, or a zip archive of it")
    adding.add_argument("--replace", action="store_true", help="take the place of a model of the same name")
    adding.set_defaults(command=add_model)
    removing = models.add_parser("remove", help="delete a model of your own")
    removing.add_argument("model", metavar="NAME")
    removing.set_defaults(command=remove_model)
    converting = models.add_parser("convert", help="make a bundle of a DenseNet's weights in torchvision's names")
    converting.add_argument("model", metavar="NAME|PATH", help="the bundle to take all but the weights from")
    converting.add_argument("--weights", metavar="FILE", required=True, help="the weights, as torch.save wrote them")
    converting.add_argument("--output", metavar="DIR", required=True, help="folder of the bundle to make")
    converting.add_argument("--trust", metavar="SHA256", help="unpickle weights of this exact content, code and all")
    converting.set_defaults(command=convert_model)


def list_models(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Print the bundles in the model folders; one that can't be read is listed with the reason."""
    from DeepImagingLib.bundles import list_bundles, load_bundle

    rows = []
    for path in list_bundles():
        try:
            bundle = load_bundle(path)
            rows.append(
                {"name": bundle.name, "version": bundle.version, "task": bundle.task, "labels": len(_found(bundle))}
            )
        except BundleError as error:
            rows.append({"name": path.name, "problem": str(error)})
    if parsed.json:
        print_json(rows)
        return 0
    for row in rows:
        details = row.get("problem") or f"{row['version']:<10} {row['task']:<16} {row['labels']} structures"
        print(f"{row['name']:<36} {details}")
    return 0


def show_model(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Print what one bundle takes, gives and says of itself."""
    from DeepImagingLib.bundles import load_bundle

    bundle = load_bundle(parsed.model, trust=parsed.trust)
    told = {
        "name": bundle.name,
        "version": bundle.version,
        "task": bundle.task,
        "description": bundle.metadata.get("description", ""),
        "intended use": bundle.metadata.get("intended_use", ""),
        "measured": bundle.metadata.get("eval_metrics", {}),
        "made of": bundle.metadata.get("data_source", ""),
        "inputs": list(bundle.channels),
        "modality": bundle.modality,
        "finds": _found(bundle),
        "notes": list(bundle.notes),
        "folder": str(bundle.path),
        "sha256": bundle.sha256,
    }
    print_table(told, parsed.json)
    return 0


def add_model(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Copy a bundle into the user's model folder, and say what it takes to run it."""
    from DeepImagingLib.bundles import load_bundle
    from DeepImagingLib.bundles.add import add_bundle

    folder = add_bundle(parsed.path, replace=parsed.replace)
    print(f"Added {folder.name}: {folder}")
    try:
        load_bundle(folder)
    except TrustError as error:
        print(f"Note: {error}")
    return 0


def remove_model(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Delete one of the user's own models."""
    from DeepImagingLib.bundles.add import remove_bundle

    remove_bundle(parsed.model)
    print(f"Removed {parsed.model}.")
    return 0


def convert_model(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Write a bundle with weights that came in torchvision's names."""
    from DeepImagingLib.bundles.densenet import convert

    print(f"Wrote {convert(parsed.model, Path(parsed.weights), Path(parsed.output), parsed.trust)}")
    return 0


def _found(bundle: Bundle) -> list[str]:
    """Return the names of what a bundle finds, without its background and what only tells whether an image fits."""
    from DeepImagingLib.bundles.metadata import likeness_label

    names = [name for name in (*bundle.labels.values(), *bundle.groups) if name.lower() != "background"]
    return [name for name in names if name != likeness_label(bundle.metadata)]

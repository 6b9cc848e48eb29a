"""Weights of a DenseNet by torchvision's names, for MONAI's DenseNet: the two differ in names alone."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from DeepImagingLib.bundles.bundle import load_bundle
from DeepImagingLib.bundles.find import METADATA, find_bundle
from DeepImagingLib.bundles.metadata import OF_WEIGHTS
from DeepImagingLib.bundles.weights import DEFAULT, read_weights
from DeepImagingLib.errors import BundleError, OutputError, TrustError

if TYPE_CHECKING:
    import torch

HEAD = "class_layers.out."
CONVERTED = "converted_from"
"""Key of the metadata: file and digest of the weights. No key of MONAI's."""
_NAMES = (
    (re.compile(r"^.*?(?=features\.|classifier\.)"), ""),  # module. and densenet121., in any order
    (re.compile(r"(denselayer\d+)\.(norm|conv)\.?([12])\."), r"\1.layers.\2\3."),  # norm.1 until torchvision 0.2.1
    (re.compile(r"^classifier\.(\d+\.)?"), HEAD),  # in a Sequential with a sigmoid, say
)
_MEAN, _COUNT = "running_mean", "num_batches_tracked"


def read_torchvision(path: Path, trust: str | None = None) -> dict[str, torch.Tensor]:
    """Return the weights of a file by MONAI's names.

    Args:
        path: A state dict, or a checkpoint with one, whose names are those of torchvision's `densenet121`, today's or
            older ones, also behind `module.` or the name of the module that holds the network.
        trust: SHA-256 of the file, which then is unpickled whatever it holds.

    Raises:
        BundleError: There is none, it can't be read, or holds other names.
        TrustError: It holds more than tensors and plain values, or `trust` is another's; nothing of it was run.
    """
    import torch

    if not path.is_file():
        raise BundleError(f"There are no weights in {str(path)!r}; name the file that holds them.")
    if trust is not None and trust.strip().lower() != _sha256(path):
        raise TrustError(f"The trust given is for another content than that of {path.name}, so nothing of it was run.")
    found = {_renamed(name): value for name, value in read_weights(path, trusted=trust is not None).items()}
    if not any(name.startswith("features.") for name in found):
        raise BundleError(f"{path.name} holds no DenseNet by torchvision's names; it begins with {next(iter(found))}.")
    counts = {name.replace(_MEAN, _COUNT): torch.tensor(0) for name in found if name.endswith(_MEAN)}
    return counts | found  # older ones have no counts


def _renamed(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = pattern.sub(replacement, name, count=1)
    return name


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def convert(name_or_path: str, weights: Path, output: Path, trust: str | None = None) -> Path:
    """Write a bundle that has weights by torchvision's names, all of which fit; returns its folder.

    Args:
        name_or_path: The bundle to take all else from, with MONAI's DenseNet.
        weights: A file as `read_torchvision` takes it.
        output: Folder to make.
        trust: SHA-256 of that file, which then is unpickled whatever it holds.

    Raises:
        BundleError: The bundle or the file can't be read, or they don't fit together; nothing was written.
        TrustError: The file holds more than weights; names the SHA-256 that would have to be trusted.
        OutputError: The folder is there, or can't be made.
    """
    import torch

    root = find_bundle(name_or_path)
    try:
        found = read_torchvision(weights, trust)
    except TrustError as error:
        hint = f"If you have reviewed the file and trust it, convert it with --trust {_sha256(weights)}."
        raise TrustError(f"{error} {hint}") from error
    if output.exists():
        raise OutputError(f"{output.name} is there already; name a folder to make.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".converting-") as stage:
            made = Path(stage) / output.name
            shutil.copytree(root, made, ignore=shutil.ignore_patterns("models", "training"))
            (made / DEFAULT).parent.mkdir()
            torch.save(found, made / DEFAULT)
            _tell(made / METADATA, weights)
            load_bundle(made).build()
            made.rename(output)
    except OSError as error:
        raise OutputError(f"{output} can't be written ({error.strerror}); name another folder.") from error
    return output


def _tell(path: Path, weights: Path) -> None:
    told = json.loads(path.read_text(encoding="utf-8"))
    metadata = {key: value for key, value in told.items() if key not in OF_WEIGHTS}
    metadata[CONVERTED] = {"file": weights.name, "sha256": _sha256(weights)}
    path.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")

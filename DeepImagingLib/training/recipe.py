"""Recipes: bundles with a `train.json`, and how one becomes a Trainer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DeepImagingLib.bundles.find import find_bundle, shipped_model_folder
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.bundles.source import read_source
from DeepImagingLib.bundles.trusted import TrustedBuilder
from DeepImagingLib.errors import BundleError, DeepImagingError, InputError, TrustError
from DeepImagingLib.training.trainer import Trainer

OF_THE_MOMENT = ("bundle_root", "cache", "device", "minutes", "output_dir", "resume")
"""Settings that may be others when a training is gone on with."""

TRAIN_NAMES = ("train.json", "train.yaml", "train.yml")


@dataclass(frozen=True)
class Recipe:
    """A bundle's `train.json` that may run.

    Attributes:
        root: The bundle's folder.
        config: What the file says.
    """

    root: Path
    config: Mapping[str, Any]

    def trainer(self, device: str, settings: Mapping[str, Any]) -> Trainer:
        """Make what the recipe asks for, its `initialize` first, which seeds what is random.

        Args:
            device: For its `device`.
            settings: Values for further keys at the recipe's top, as `monai.bundle run` takes them.

        Raises:
            InputError: The recipe has no such key.
            BundleError: It can't be made.
        """
        if missing := sorted(settings.keys() - self.config.keys()):
            raise InputError(f"The recipe {self.root.name} has no setting `{missing[0]}`; add it at its top.")
        given = {**self.config, **settings}
        builder = TrustedBuilder(given, str(self.root), device)
        try:
            if "initialize" in self.config:
                builder.get("initialize")
            trainer = builder.get("trainer")
        except BundleError as error:
            raise _own_cause(error) from error
        if not isinstance(trainer, Trainer):
            raise BundleError(f"`trainer` of {self.root.name} is a {type(trainer).__name__}, expected a Trainer.")
        trainer.made_of = _digest({key: value for key, value in given.items() if key not in OF_THE_MOMENT})
        return trainer


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def _own_cause(error: BaseException) -> BaseException:
    """Return the error of ours that led to this one, if there is one."""
    cause: BaseException | None = error.__cause__
    while cause is not None and not isinstance(cause, DeepImagingError):
        cause = cause.__cause__
    return cause or error


def load_recipe(name_or_path: str, trust: str | None = None) -> Recipe:
    """Read a recipe; nothing of it is run yet.

    A recipe makes whatever it names, so that only those that come with this extension may, and what the user trusts.

    Args:
        name_or_path: A bundle's folder, or its name.
        trust: SHA-256 of a foreign recipe's exact content.

    Raises:
        BundleError: There is none, or it can't be read.
        TrustError: It is foreign, or `trust` names another content.
    """
    root = find_bundle(name_or_path)
    found = [root / "configs" / name for name in TRAIN_NAMES if (root / "configs" / name).is_file()]
    if not found:
        raise BundleError(f"The bundle {root.name} has no recipe: none of {', '.join(TRAIN_NAMES)} in configs.")
    config = read_source(found[0], root).config
    if "trainer" not in config:
        raise BundleError(f"{found[0].name} of {root.name} has no `trainer`, which says how to train.")
    if root.resolve().parent != shipped_model_folder().resolve():
        _check_trust(root, trust)
    return Recipe(root, config)


def _check_trust(root: Path, trust: str | None) -> None:
    content = fingerprint(root)
    if trust is None:
        raise TrustError(
            f"A recipe runs what it names, and {root.name} doesn't come with this extension; nothing was run; if you "
            f"have reviewed it and trust it, train it with --trust {content}"
        )
    if trust.strip().lower() != content:
        raise TrustError(
            f"The trust given is for another content: this recipe's SHA-256 is {content}, review it again."
        )

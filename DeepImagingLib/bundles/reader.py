"""What a config says of itself, read as plain values: which images it loads, and how its network sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from DeepImagingLib.bundles import metadata as told
from DeepImagingLib.bundles.build import plain_builder
from DeepImagingLib.bundles.chains import chain_steps
from DeepImagingLib.bundles.references import Refusal
from DeepImagingLib.bundles.repairs import TARGET, Step, step_of
from DeepImagingLib.errors import BundleError

_EXCLUSIVE = {"AsDiscrete": ("argmax", "threshold"), "Activations": ("softmax", "sigmoid")}
"""The settings by which a step of post-processing makes labels that exclude each other, or that may overlap."""


class Reader:
    """Reads settings from a config; what isn't a plain value is answered by None, and never computed.

    Args:
        config: The part of the config that the road evaluates.
        folder: The bundle's folder, for `@bundle_root`.
    """

    def __init__(self, config: Mapping[str, Any], folder: str) -> None:
        self._config = config
        self._builder = plain_builder(config, folder)

    def plain(self, raw: Any, ident: str) -> Any:
        """Return the plain value of `raw`, which stands at `ident`, or None where it is none."""
        try:
            return self._builder.make(raw, ident)
        except (BundleError, Refusal):
            return None

    def steps(self, key: str, keep: Callable[[dict[str, Any]], bool] | None = None) -> list[Step]:
        """Return the components of the chain at `key`, in order."""
        return chain_steps(self._config, key, keep)

    def image_keys(self, metadata: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys that LoadImaged fills; without one, the metadata's inputs; else "image".

        Raises:
            BundleError: A key is no printable text: results name their inputs by it.
        """
        keys: dict[str, None] = {}
        for ident, step in self.steps("preprocessing", keep=lambda step: step_of(step) == "LoadImage"):
            found = self.plain(step.get("keys"), ident + "::keys")
            for key in found if isinstance(found, (list, tuple)) else [found]:
                if isinstance(key, str):
                    keys[key] = None
        found = tuple(keys) or tuple(told.entries(metadata, "inputs")) or ("image",)
        if odd := [key for key in found if not key.strip().isprintable() or not key.strip()]:
            raise BundleError(f"The image key {odd[0]!r} is no printable text; rename it in the config.")
        return found

    def input_key(self, image_keys: Sequence[str]) -> str:
        """Return the key of what goes into the network: "image" as in MONAI's evaluators, or what there is."""
        joined = [
            self.plain(step.get("name"), i) for i, step in self.steps("preprocessing") if step_of(step) == "ConcatItems"
        ]
        candidates = [*image_keys, *(name for name in joined if isinstance(name, str))]
        return "image" if "image" in candidates else candidates[-1] if joined else candidates[0]

    def spatial_dims(self) -> int | None:
        """Return the axes the network is made for, where its settings tell."""
        for key in ("network_def", "network"):
            for ident, component in self.steps(key):
                for name in ("spatial_dims", "dimensions"):
                    value = self.plain(component.get(name), f"{ident}::{name}")
                    if value in (2, 3):
                        return int(value)
        return None

    def channel_count(self) -> int:
        """Return the network's output channels, 0 where its settings don't tell."""
        found = [
            self.plain(component.get(name), f"{ident}::{name}")
            for key in ("network_def", "network")
            for ident, component in self.steps(key)
            for name in ("out_channels", "num_classes")
        ]
        return next((number for number in found if isinstance(number, int)), 0)

    def exclusive(self, pred_key: str) -> bool | None:
        """Tell whether the prediction ends as one label a voxel (True) or as labels that may overlap (False).

        The last AsDiscreted that makes it so speaks; without one, the last Activationsd; None where neither does.
        """
        answers: dict[str, bool] = {}
        for ident, step in self.steps("postprocessing"):
            one, several = _EXCLUSIVE.get(step_of(step), ("", ""))
            if one and self._for_key(ident, step, one, pred_key):
                answers[step_of(step)] = True
            elif several and self._for_key(ident, step, several, pred_key) not in (None, False):
                answers[step_of(step)] = False
        return answers.get("AsDiscrete", answers.get("Activations"))

    def _for_key(self, ident: str, step: Mapping[str, Any], name: str, key: str) -> Any:
        """Return a step's setting for one of its keys: settings may stand in a list, one for each key."""
        keys = self.plain(step.get("keys"), f"{ident}::keys")
        keys = list(keys) if isinstance(keys, (list, tuple)) else [keys]
        value = self.plain(step.get(name), f"{ident}::{name}")
        values = list(value) if isinstance(value, (list, tuple)) else [value] * len(keys)
        return dict(zip(keys, values, strict=False)).get(key)

    def works_slice_by_slice(self) -> bool:
        """Tell whether a 2-D network is moved over the slices of a volume."""
        return any(str(step[TARGET]).endswith("SliceInferer") for _, step in self.steps("inferer"))

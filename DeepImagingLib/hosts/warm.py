"""Models that stay built between runs, within a share of the memory there is."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from DeepImagingLib.bundles import find_bundle, load_bundle
from DeepImagingLib.bundles.fingerprint import content_files

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.bundles import Bundle, Pipeline

SHARE = 4
"""One in so many parts of a device's memory may hold models that aren't in use."""

Signature = tuple[tuple[str, int, int], ...]
"""Name, time of change and size of each file that decides what a bundle does: quick to tell, unlike its hash."""


@dataclass(frozen=True)
class _Loaded:
    bundle: Bundle
    signature: Signature


class WarmModels:
    """Loads bundles and builds them; what was built stays until its files change or memory asks for it."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[Path, str | None], _Loaded] = {}
        self._built: OrderedDict[tuple[Path, str, str], Pipeline] = OrderedDict()

    def load(self, model: str | Path, trust: str | None = None) -> Bundle:
        """Return the bundle, read and judged now unless its files are as they were; raises as `load_bundle` does."""
        root = find_bundle(model)
        signature = _signature(root)
        known = self._loaded.get((root, trust))
        if known is None or known.signature != signature:
            self._forget(root)
            known = self._loaded[root, trust] = _Loaded(load_bundle(root, trust=trust), signature)
        return known.bundle

    def build(self, bundle: Bundle, device: torch.device) -> Pipeline:
        """Return the bundle's pipeline on a device; raises as `Bundle.build` does."""
        key = (bundle.path, bundle.loaded, str(device))
        if key not in self._built:
            self._built[key] = bundle.build(device)
        self._built.move_to_end(key)
        self._shrink(device)
        return self._built[key]

    def clear(self) -> None:
        """Let go of all."""
        self._loaded.clear()
        self._built.clear()

    def _forget(self, root: Path) -> None:
        self._loaded = {key: loaded for key, loaded in self._loaded.items() if key[0] != root}
        for key in [key for key in self._built if key[0] == root]:
            del self._built[key]

    def _shrink(self, device: torch.device) -> None:
        """Drop the models of a device that were used longest ago, until the rest is within its share."""
        here = [key for key in self._built if key[2] == str(device)]
        limit = _memory_of(device) // SHARE
        while len(here) > 1 and sum(_size(self._built[key]) for key in here) > limit:
            del self._built[here.pop(0)]


def _signature(root: Path) -> Signature:
    states = [(os.fsdecode(path), path.stat()) for path in content_files(root)]
    return tuple(sorted((name, state.st_mtime_ns, state.st_size) for name, state in states))


def _size(pipeline: Pipeline) -> int:
    return sum(p.numel() * p.element_size() for p in pipeline.network.parameters())


def _memory_of(device: torch.device) -> int:
    """Return the memory of a device in bytes."""
    import psutil
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)

"""Import torch and MONAI in less than two thirds of the time.

MONAI comes without what its training loops, plots and filters of signals need, and both without Python looking for
garbage every few hundred objects, of which they make a million that stay.

For processes that only run bundles, and are ours: the worker and the command line. In others both stay as they are.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

LEFT_OUT = frozenset(["ignite", "matplotlib", "scipy.signal"])
"""What isn't there while MONAI, to which it is optional, is being imported."""

LARGE = frozenset(["torch", "monai"])


class _Finder(MetaPathFinder):
    """Goes before the other finders, and leaves to them what isn't named above."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse a module to MONAI, or find a large one."""
        monai = sys.modules.get("monai")
        if name in LEFT_OUT and getattr(getattr(monai, "__spec__", None), "_initializing", False):
            raise ModuleNotFoundError(f"{name} is left out of a process that only runs bundles", name=name)
        spec = PathFinder.find_spec(name, path) if name in LARGE else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Uncollected(spec.loader)
        return spec


class _Uncollected(Loader):
    """Another loader, without a collection of garbage meanwhile."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create it as the other does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Fill it as the other does, which is the one that the module shows."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        enabled = gc.isenabled()
        gc.disable()
        try:
            self._loader.exec_module(module)
            gc.freeze()  # all there is, little else by now, or the next collection would look through it
        finally:
            if enabled:
                gc.enable()


def keep_monai_lean() -> None:
    """Have both imported that way from now on; nothing changes for what is imported."""
    sys.meta_path.insert(0, _Finder())

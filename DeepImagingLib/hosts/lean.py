"""Import MONAI without what its training loops, plots and filters of signals need: more than a second of a cold start.

For processes that only run bundles, and are ours: the worker and the command line. In others MONAI stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

LEFT_OUT = frozenset(["ignite", "matplotlib", "scipy.signal"])


class _Finder(MetaPathFinder):
    """Says that some packages aren't there while MONAI, to which they are optional, is being imported."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Refuse those, and leave all others to the finders that follow."""
        monai = sys.modules.get("monai")
        if name in LEFT_OUT and getattr(getattr(monai, "__spec__", None), "_initializing", False):
            raise ModuleNotFoundError(f"{name} is left out of a process that only runs bundles", name=name)


def keep_monai_lean() -> None:
    """Have MONAI imported that way from now on; nothing changes once it is imported."""
    sys.meta_path.insert(0, _Finder())

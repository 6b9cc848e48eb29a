"""What does the work of DeepImaging: runs networks and shows their answers; plain Python, importable without Slicer.

No widget lives here, and only `scene/` touches MRML. Importing it is quick: torch and monai come in when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from DeepImagingLib.bundles import load_bundle as load_bundle
    from DeepImagingLib.options import Options as Options
    from DeepImagingLib.road import plan as plan
    from DeepImagingLib.road import run as run

__version__ = "0.1.0"
__all__ = ["Options", "__version__", "load_bundle", "plan", "run"]

_HOME = {"run": "road", "plan": "road", "load_bundle": "bundles", "Options": "options"}


def __getattr__(name: str) -> Any:
    """Import the public names on first use (PEP 562), so that `import DeepImagingLib` stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value

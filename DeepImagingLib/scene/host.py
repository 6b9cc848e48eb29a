"""Find the Slicer we run in, or start one without a window."""

from __future__ import annotations

import importlib.util
from typing import Any

from DeepImagingLib.errors import DeepImagingError


def available() -> bool:
    """Tell whether MRML is there: inside Slicer, or beside the `slicer-core` package."""
    return importlib.util.find_spec("slicer") is not None


def require() -> None:
    """Raise DeepImagingError, with its remedy, where neither Slicer nor `slicer-core` is there."""
    if not available():
        raise DeepImagingError(
            "A Slicer scene needs 3D Slicer, or the slicer-core package: pip install deepimaging[headless]."
        )


def host() -> Any:
    """Return Slicer's application: the running one, else one without a window, started once per process.

    After the call `slicer.mrmlScene`, `slicer.app`, `slicer.modules` and `slicer.util` work as in Slicer, as far
    as they need no Qt.

    Raises:
        DeepImagingError: Neither Slicer nor `slicer-core` is there.
    """
    require()
    import slicer

    if not hasattr(slicer, "app"):
        from DeepImagingLib.scene.headless.application import HeadlessApplication

        HeadlessApplication().install()
    return slicer.app

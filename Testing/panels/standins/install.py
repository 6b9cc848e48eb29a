"""Puts the stand-ins where a scripted module looks for them."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

SLICER_PYTHON = "DEEPIMAGING_SLICER_PYTHON"
# Slicer's own modules, and what stands in for them.
OURS = {
    "i18n": "translation",
    "ScriptedLoadableModule": "scripted_module",
    "parameterNodeWrapper": "parameter_node",
}


def install() -> Any:
    """Start the scene's host and make `qt`, `ctk`, `slicer.qMRML…`, `slicer.ScriptedLoadableModule` … importable.

    Where the environment variable DEEPIMAGING_SLICER_PYTHON names a folder that holds Slicer's own Python
    (`slicer/ScriptedLoadableModule.py` …), that is used instead of ours, over the same widgets.

    Returns:
        `slicer.app`. Calling again changes nothing.
    """
    from DeepImagingLib import scene

    application = scene.host()
    if "ctk" in sys.modules:
        return application
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    for name in ("qt", "ctk"):
        sys.modules[name] = importlib.import_module(f"Testing.panels.standins.{name}_module").makeModule()
    _module("application").extend(application)
    _installInSlicer()
    return application


def _installInSlicer() -> None:
    import slicer

    for widget in _module("mrml_widgets").classes():
        setattr(slicer, widget.__name__, widget)
    if folder := os.environ.get(SLICER_PYTHON):
        slicer.__path__.append(str(Path(folder) / "slicer"))
    for name, ours in OURS.items():
        if not folder:
            sys.modules[f"slicer.{name}"] = _module(ours)
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))


def _module(name: str) -> Any:
    return importlib.import_module(f"Testing.panels.standins.{name}")

"""Panels in tests: the stand-ins for Slicer's Qt side, an empty scene, and no exception lost in a slot."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def application() -> Any:
    """`slicer.app` with the stand-ins in place; the test is skipped where there is no MRML or no Qt."""
    for package in ("slicer", "PySide6"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not here: pip install slicer-core PySide6-Essentials")
    from Testing.panels.standins import install

    return install()


@pytest.fixture
def mrml_scene(application: Any) -> Iterator[Any]:
    """The application's scene, empty before and after."""
    scene = application.mrmlScene()
    scene.Clear(0)
    yield scene
    scene.Clear(0)


@pytest.fixture(autouse=True)
def errors_in_slots(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """What slots and observers raised: Qt and VTK print it and go on, a test fails unless it empties the list."""
    raised: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: raised.append(error))
    yield raised
    if raised:
        raise raised[0]

"""The made-up scan in Slicer's Sample Data module, by its button and by its functions for scripts."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlretrieve

import pytest

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib.errors import WorkerError
from Testing.panels.standins import install

install()
import slicer

from DeepImagingPanel import runner, sample


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    yield
    runner.discard()


@pytest.fixture
def listed(mrml_scene: Any, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What Sample Data was told: the source, and the rule that it asks before each download."""
    told = SimpleNamespace()

    class Logic:
        @staticmethod
        def registerCustomSampleDataSource(**source: Any) -> None:
            told.source = SimpleNamespace(**source)

        @staticmethod
        def registerUrlRewriteRule(name: str, rule: Callable[[str], str]) -> None:
            told.rule = rule

    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=Logic))
    sample.register()
    return told


def test_its_button_makes_a_volume_of_the_registered_name(listed: SimpleNamespace) -> None:
    (node,) = listed.source.customDownloader(listed.source)
    assert node.GetName() == listed.source.nodeNames == "TorsoPhantom"


def test_a_script_downloads_a_file_that_can_be_loaded(
    listed: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path))
    uri = listed.rule(listed.source.uris)
    urlretrieve(uri, tmp_path / "cached.nrrd")
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    node = slicer.util.loadVolume(str(tmp_path / "cached.nrrd"))
    assert slicer.util.arrayFromVolume(node).min() < -900
    assert listed.rule("https://example.org/scan.nrrd") == "https://example.org/scan.nrrd"


def test_what_goes_wrong_behind_the_button_is_one_sentence(
    listed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tried: sample.Sample) -> None:
        raise WorkerError("The worker ended.")

    said: list[str] = []
    monkeypatch.setattr(sample, "_voxels", fail)
    monkeypatch.setattr(slicer.util, "errorDisplay", said.append)
    assert listed.source.customDownloader(listed.source) == []
    assert said == ["The worker ended."]

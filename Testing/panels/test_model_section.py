"""The part of a panel that tells of a model: a foreign one is read beside the window, and its texts stay texts."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib.bundles import bundle as bundles
from DeepImagingLib.bundles import fingerprint as fingerprints
from DeepImagingLib.bundles.card import Standing
from DeepImagingLib.bundles.fingerprint import fingerprint
from Testing.bundles import make_bundles as make
from Testing.panels.standins import click, install, process_events_until

install()
import slicer

from DeepImagingPanel import model_section, parameters, runner
from DeepImagingPanel.model_section import ModelSection

PANEL = Path(model_section.__file__).parent / "UI" / "panel.ui"


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    yield
    runner.discard()


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that asks to run code of its own."""
    monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path))
    bundle = make.write_spleen_like(tmp_path / "foreign")
    make.change_config(bundle, {"inferer": "$__import__('os')"})
    return bundle


@pytest.fixture
def section(mrml_scene: Any, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelSection]:
    kept: set[str] = set()
    monkeypatch.setattr(model_section, "trusted", lambda: set(kept))
    monkeypatch.setattr(model_section, "setTrusted", lambda sha, trust: kept.add(sha) if trust else kept.discard(sha))
    panel = slicer.util.loadUI(str(PANEL))
    made = ModelSection(slicer.util.childWidgetVariables(panel), "", lambda name: made.select(name))
    made.panel = panel  # type: ignore[attr-defined] - it holds the widgets
    yield made
    process_events_until(lambda: not runner.current().busy, 20)


def ready(section: ModelSection) -> None:
    process_events_until(lambda: section.card.sha256, 20)


@pytest.fixture
def no_reading_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reads no model; the worker does."""

    def refuse(root: Path) -> str:
        raise AssertionError(f"{root.name} is read in the window's process")

    for module in (bundles, fingerprints):
        monkeypatch.setattr(module, "fingerprint", refuse)


class TestReadingWhatNeedsTrust:
    def test_is_done_in_the_worker_and_said_until_it_is(self, section, foreign, no_reading_here):
        expected = fingerprint(foreign)
        section.select("foreign")
        assert section.card.standing is Standing.UNTRUSTED and section.card.sha256 == ""
        assert "Reading" in section._ui.trustLabel.text and "being read" in section.reason()
        assert not section._ui.trustButton.enabled and not section._ui.trustButton.isHidden()
        ready(section)
        assert section.card.sha256 == expected and section._ui.trustButton.enabled
        assert expected[:16] in section._ui.trustLabel.text and "trust" in section.reason()

    def test_is_done_once_be_it_trusted_or_chosen_again(self, section, no_reading_here, monkeypatch):
        section.select("foreign")
        section.select("torso_ct_segmentation")
        section.select("foreign")
        assert len(runner.current().host.handles) == 1
        ready(section)
        monkeypatch.setattr(runner.Runner, "do", lambda *_: pytest.fail("it is read again"))
        click(section._ui.trustButton)
        assert section.card.standing is Standing.TRUSTED and section.reason() == ""
        section.select("torso_ct_segmentation")
        section.select("foreign")
        assert section.card.standing is Standing.TRUSTED

    def test_is_done_anew_where_a_file_changed(self, section, foreign):
        section.select("foreign")
        ready(section)
        before = section.card.sha256
        click(section._ui.trustButton)
        (foreign / "configs" / "more.json").write_text("{}")
        section.select("foreign")
        assert section.card.standing is Standing.UNTRUSTED and section.card.sha256 == ""
        ready(section)
        assert section.card.sha256 not in ("", before)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that can't be read")
    def test_that_fails_makes_it_unusable_with_the_reason(self, section, foreign):
        os.mkfifo(foreign / "models" / "pipe.pt")
        section.select("foreign")
        process_events_until(lambda: section.card.standing is Standing.BROKEN, 20)
        assert "pipe.pt" in section.reason() and section._ui.trustButton.isHidden()


def test_what_a_foreign_model_says_is_shown_as_it_is_written(section, foreign, monkeypatch):
    metadata = foreign / "configs" / "metadata.json"
    told = json.loads(metadata.read_text())
    told["name"] = "<b>Evil</b>"
    told["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] = "<h1>SAFE</h1>"
    metadata.write_text(json.dumps(told))
    section.reload()
    section.select("foreign")
    plain = slicer.util.childWidgetVariables(section.panel)
    assert "<h1>SAFE</h1>" in plain.modelSummary.text  # as a plain text, see the test of the .ui files
    assert "&lt;h1&gt;SAFE" in plain.modelCard.text and "<h1>" not in plain.modelCard.text
    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text))
    section._remove()
    assert "&lt;b&gt;Evil" in asked[0] and foreign.is_dir()


def test_trust_is_kept_with_the_user(application):
    parameters.setTrusted("ab", True)
    assert "ab" in parameters.trusted()
    parameters.setTrusted("ab", False)
    assert "ab" not in parameters.trusted()

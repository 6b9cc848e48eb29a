"""What a model's files tell of it, without running anything of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from DeepImagingLib.bundles import bundle, user_model_folder
from DeepImagingLib.bundles.card import Entry, Standing, card, entries
from DeepImagingLib.bundles.fingerprint import fingerprint
from Testing.bundles import make_bundles as make


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path))
    return tmp_path


def entry(name: str) -> Entry:
    return next(one for one in entries() if one.name == name)


def test_the_shipped_model_tells_what_it_is(models: Path) -> None:
    told = card(entry("torso_ct_segmentation"))
    assert told.standing is Standing.READY and told.may_run and not told.own
    assert "liver" in told.finds and "background" not in told.finds
    assert told.finds.index("liver") < told.finds.index("other tissue")  # which comes switched off
    assert (told.modality, told.spacing, told.channels) == ("CT", (4.0, 4.0, 4.0), ("image",))
    assert 0 <= min(told.measured.values()) < max(told.measured.values()) <= 1
    assert "clinical" in told.facts["intended_use"] and "Apache" in told.facts["license"]


def test_a_task_leaves_out_the_models_of_others(models: Path) -> None:
    make.write_spleen_like(models / "spleen")
    metadata = models / "spleen" / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"task": "', '"task": "Lung nodule detection, not '))
    assert "spleen" in [one.name for one in entries()]
    assert "torso_ct_segmentation" in [one.name for one in entries("segmentation")]
    assert card(entry("spleen")).own


def test_foreign_code_is_not_run_and_needs_trust(models: Path, tmp_path: Path) -> None:
    bundle = make.write_spleen_like(models / "foreign")
    made = tmp_path / "made"
    make.change_config(bundle, {"inferer": f"$__import__('pathlib').Path({str(made)!r}).touch()"})
    untrusted = card(entry("foreign"))
    assert untrusted.standing is Standing.UNTRUSTED and not untrusted.may_run and untrusted.trust is None
    assert untrusted.sha256 == fingerprint(bundle) and "inferer" in untrusted.reason
    trusted = card(entry("foreign"), {untrusted.sha256})
    assert trusted.standing is Standing.TRUSTED and trusted.trust == untrusted.sha256
    assert not made.exists()


def test_trust_ends_when_the_content_changes(models: Path) -> None:
    bundle = make.write_spleen_like(models / "foreign")
    make.change_config(bundle, {"inferer": "$__import__('os')"})
    trust = card(entry("foreign")).sha256
    make.change_config(bundle, {"inferer": "$__import__('sys')"})
    assert card(entry("foreign"), {trust}).standing is Standing.UNTRUSTED


def test_a_model_is_read_whole_by_the_digest_alone(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(root: Path) -> str:
        raise AssertionError(f"{root.name} is read whole")

    foreign = make.write_spleen_like(models / "foreign")
    make.change_config(foreign, {"inferer": "$__import__('os')"})
    monkeypatch.setattr(bundle, "fingerprint", refuse)
    unknown = card(entry("foreign"), {""}, lambda path: "")
    assert unknown.standing is Standing.UNTRUSTED and unknown.sha256 == "" and "inferer" in unknown.reason
    known = card(entry("foreign"), {"ab"}, lambda path: "ab")
    assert known.standing is Standing.TRUSTED and known.sha256 == "ab" and known.finds == unknown.finds


@pytest.mark.parametrize("broken", ["{", "[]", '{"version": '])
def test_one_that_is_broken_is_listed_with_the_reason(models: Path, broken: str) -> None:
    bundle = make.write_spleen_like(models / "broken")
    (bundle / "configs" / "metadata.json").write_text(broken)
    told = card(entry("broken"))
    assert told.standing is Standing.BROKEN and told.reason and not told.may_run


def test_the_users_own_comes_from_the_model_folder(models: Path) -> None:
    make.write_spleen_like(models / "mine")
    assert user_model_folder() == models
    assert entry("mine").own and not entry("torso_ct_segmentation").own

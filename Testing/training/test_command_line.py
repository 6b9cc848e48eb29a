"""`train` says in one sentence why it can't, and trains where it can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.cli import main
from Testing.training import tiny


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a call."""
    code = main(["train", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_it_trains_and_tells_where_the_bundle_is(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--output", tmp_path / "bundle", "--device", "cpu", "--trust", fingerprint(recipe)]
    code, out, err = call(capsys, recipe, *words)
    assert code == 0, err
    assert f"Wrote {tmp_path / 'bundle'}" in out
    assert (tmp_path / "bundle" / "models" / "model.pt").is_file()


class TestWrongWords:
    def test_an_unknown_recipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = call(capsys, "nonesuch")
        assert (code, err.count("\n")) == (2, 1)
        assert "no bundle 'nonesuch'" in err

    def test_a_bundle_without_a_recipe(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "configs").mkdir()
        code, _, err = call(capsys, tmp_path)
        assert (code, err.count("\n")) == (2, 1)
        assert "has no recipe" in err

    def test_a_recipe_without_a_trainer(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "train.json").write_text("{}")
        code, _, err = call(capsys, tmp_path)
        assert (code, err.count("\n")) == (2, 1)
        assert "no `trainer`" in err

    def test_a_foreign_recipe_runs_nothing_unless_it_is_trusted(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        recipe = tiny.write(tmp_path / "recipe")
        config = tiny.config()
        config["initialize"] = [f"$__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"]
        (recipe / "configs" / "train.json").write_text(json.dumps(config), encoding="utf-8")
        for words in ([], ["--trust", "0" * 64]):
            code, _, err = call(capsys, recipe, *words)
            assert (code, err.count("\n")) == (2, 1)
            assert fingerprint(recipe) in err
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("device", ["cuda:97", "abacus"])
    def test_a_device_that_is_not_here(self, device: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = call(capsys, "torso_ct_segmentation", "--device", device)
        assert (code, err.count("\n")) == (2, 1)
        assert device in err

    def test_an_output_that_holds_something(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        code, _, err = call(capsys, "torso_ct_segmentation", "--output", tmp_path, "--device", "cpu")
        assert (code, err.count("\n")) == (2, 1)
        assert "name an empty one" in err

    def test_a_list_of_scans_that_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["--output", tmp_path / "bundle", "--device", "cpu", "--validate", tmp_path / "scans.json"]
        code, _, err = call(capsys, "torso_ct_segmentation", *words)
        assert (code, err.count("\n")) == (2, 1)
        assert "no list of scans" in err

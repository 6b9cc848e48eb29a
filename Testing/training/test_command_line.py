"""`train` says in one sentence why it can't, and trains where it can."""

from __future__ import annotations

import json
import re
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


class TestARecipe:
    def test_it_takes_a_seed_and_settings(
        self, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mine.yaml").write_text("steps: 6\nbody_count: 1\n")
        words = ["--output", tmp_path / "bundle", "--device", "cpu", "--trust", fingerprint(recipe), "--seed", 7]
        code, _, err = call(capsys, recipe, *words, "--set", "steps=5", "--config", tmp_path / "mine.yaml")
        assert code == 0, err
        told = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text(encoding="utf-8"))["training"]
        assert (told["seed"], told["steps"]) == (7, 5)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--dry-run"], "takes no --dry-run"),
            (["--label-files", "*", "--fold", "1/5", "--epochs", "2"], "takes no --fold or --epochs"),
            (["--data", "x", "--keep-old"], "takes no --data or --keep-old"),
            (["--set", "stepps=5"], "no setting `stepps`"),
            (["--set", "resume=true"], "follows from the other options"),
        ],
    )
    def test_what_it_does_not_heed_is_refused(
        self, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = ["--output", tmp_path / "bundle", "--device", "cpu"]
        code, _, err = call(capsys, "torso_ct_segmentation", *output, *words)
        assert (code, err.count("\n")) == (2, 1) and said in err
        assert not (tmp_path / "bundle").exists()


class TestScansOfYourOwn:
    WORDS = ("--from", "scratch", "--device", "cpu", "--set", "patch=[16,16,16]", "--set", "batch_size=1")

    def test_a_plan_is_printed_with_reasons_and_the_bundle_is_made(
        self, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "bundle"
        words = ("--data", scans, "--labels", "stone,spleen", "--output", output, "--epochs", 1, *self.WORDS)
        code, out, err = call(capsys, *words, "--dry-run")
        assert code == 0, err
        assert "segmentation: 4 cases (3 train, 1 validation, 0 test)" in out and "stone: in 4" in out
        assert "patch: [16, 16, 16]  (as you set it)" in out and "median" in out
        assert re.search(r"time: about 1 min  \(\d+ steps, \S+ s a step", out), out
        assert re.search(r"memory: about \d+\.\d GB of the host's \d+ GB that are free", out)
        assert not output.exists()
        code, out, err = call(capsys, *words)
        assert code == 0, err
        assert (output / "models" / "model.pt").is_file() and "Best Dice" in out

    def test_settings_come_from_a_file_and_the_command_line_wins(
        self, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mine.yaml").write_text("learning_rate: 0.5\nepochs: 7\n")
        words = ("--data", scans, "--labels", "stone,spleen", "--output", tmp_path / "bundle", *self.WORDS)
        code, out, err = call(capsys, *words, "--config", tmp_path / "mine.yaml", "--epochs", 9, "--dry-run")
        assert code == 0, err
        assert "learning_rate: 0.5" in out and "epochs: 9 " in out

    def test_every_problem_of_the_data_is_listed_and_nothing_is_made(
        self, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "list.csv").write_text(f"image,label\nnone.nii,none.nii\n{scans}/images/secret0.nii.gz,no.nii\n")
        words = ("--data", tmp_path / "list.csv", "--labels", "stone,spleen", "--output", tmp_path / "bundle")
        code, _, err = call(capsys, *words, *self.WORDS)
        assert code == 2 and "3 problems" in err and "none.nii" in err and "no.nii" in err
        assert not (tmp_path / "bundle").exists()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--data", "x"], "--from"),
            (["--data", "x", "--from", "scratch"], "--output"),
            ([], "--data"),
            (["torso_ct_segmentation", "--data", "x"], "either"),
            (["--data", "x", "--from", "scratch", "--output", "y", "--fold", "two"], "1/5"),
            (["--data", "x", "--from", "scratch", "--output", "y", "--set", "epochs"], "KEY=VALUE"),
        ],
    )
    def test_what_is_missing_is_named(self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = call(capsys, *words)
        assert (code, err.count("\n")) == (2, 1) and said in err


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

"""Classifiers on the command line: probabilities and heatmaps in files, and what is told."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image
import pytest
import torch

from DeepImagingLib.cli import main
from DeepImagingLib.explain import explained
from DeepImagingLib.explain.randomised import FixedWeightsError
from Testing.bundles import make_classifiers as make
from Testing.inference.test_classify import write_png


@pytest.fixture(scope="module")
def density(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write_breast_density_like(tmp_path_factory.mktemp("made") / "density")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_png(tmp_path / "picture.png")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_files_hold_every_label(density: Path, picture: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "a.json", tmp_path / "a.csv", tmp_path / "a.nii.gz"]
    words = [word for path in outputs for word in ("--output", str(path))]
    assert main(["run", str(picture), "--model", str(density), *words, "--heatmaps", "B"]) == 0
    report = json.loads(outputs[0].read_text())
    assert list(report["probabilities"]) == ["A", "B", "C", "D"]
    assert set(report["found"]) == {name for name, value in report["probabilities"].items() if value >= 0.5}
    rows = list(csv.DictReader(outputs[1].open()))
    assert {row["label"]: float(row["probability"]) for row in rows} == report["probabilities"]
    (heat,) = tmp_path.glob("*.nii.gz")
    assert heat.name == "a_B_gradcam.nii.gz"
    assert nibabel.load(heat).shape == (61, 80, 1)
    assert str(picture.name) not in outputs[0].read_text()


def test_a_picture_that_does_not_fit_is_refused_by_its_header(
    density: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "large.png"
    PIL.Image.new("1", (6000, 5000)).save(path)
    path.write_bytes(path.read_bytes()[:1000])  # nothing that could be decoded
    words = ["--model", str(density), "--output", str(tmp_path / "a.json"), "--memory-limit", "64MiB"]
    assert main(["run", str(path), *words]) == 1
    assert "6000 × 5000 voxels needs 1.1 GB" in told(capsys)


def test_an_empty_heatmap_is_told(
    density: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = tmp_path / "model", tmp_path / "a.json"
    shutil.copytree(density, model)
    weights = torch.load(model / "models" / "model.pt", weights_only=True)
    torch.save(weights | {"fc.weight": 0 * weights["fc.weight"]}, model / "models" / "model.pt")
    assert main(["run", str(picture), "--model", str(model), "--output", str(output), "--heatmaps", "B"]) == 0
    words = "nothing in the image spoke for the class"
    assert f"B (gradcam): {words}." in capsys.readouterr().out
    assert json.loads(output.read_text())["heatmaps"][0]["doubt"] == words


def test_a_heatmap_that_could_not_be_checked_is_told(
    density: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def frozen(*_: object, **__: object) -> float:
        raise FixedWeightsError("The weights are in the code.")

    monkeypatch.setattr(explained, "depends_on_weights", frozen)
    output = tmp_path / "a.json"
    assert main(["run", str(picture), "--model", str(density), "--output", str(output), "--heatmaps", "B"]) == 0
    assert "B (gradcam): whether this map depends on what the model learnt could not" in capsys.readouterr().out
    told = json.loads(output.read_text())["heatmaps"][0]
    assert told["sameness_with_random_weights"] is None and told["doubt"].endswith("could not be checked")


def test_heatmaps_have_to_be_named_to_be_written(
    density: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "a.nii.gz")
    assert main(["run", str(picture), "--model", str(density), "--output", output]) == 2
    assert "name some with --heatmaps" in told(capsys)


def test_other_models_have_no_heatmaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(20, 20, 20)), np.eye(4)), scan)
    words = ["--model", "torso_ct_segmentation", "--output", str(tmp_path / "a.json"), "--heatmaps", "top"]
    assert main(["run", str(scan), *words]) == 2
    assert "is no classifier" in told(capsys)


class TestEvaluation:
    @staticmethod
    def folder(root: Path, labels: str) -> Path:
        for number in range(4):
            write_png(root / f"{number}.png", seed=number)
        rows = [
            f"{number}.png,{','.join(str((number + n) % 2) for n in range(labels.count(',') + 1))}"
            for number in range(4)
        ]
        (root / "labels.csv").write_text("\n".join([f"file,{labels}", *rows]) + "\n")
        return root

    def test_labels_without_truth_are_named_and_not_judged(self, density: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        data, output = self.folder(tmp_path / "data", "A,C"), tmp_path / "out"
        assert main(["evaluate", str(density), "--data", str(data), "--output", str(output)]) == 0
        report = json.loads((output / "evaluation.json").read_text())
        assert (list(report["labels"]), report["labels_without_truth"]) == (["A", "C"], ["B", "D"])
        assert report["labels"]["A"]["images"] == 2

    def test_capital_and_small_letters_of_labels_count_as_the_same(self, density: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        data, output = self.folder(tmp_path / "data", "a,c"), tmp_path / "out"
        assert main(["evaluate", str(density), "--data", str(data), "--output", str(output)]) == 0
        assert list(json.loads((output / "evaluation.json").read_text())["labels"]) == ["A", "C"]

    @pytest.mark.parametrize(("table", "judged"), [("A,C", ["A", "C"]), ("A,B,C", ["A", "B", "C", "No finding"])])
    def test_that_nothing_was_found_is_known_where_all_findings_are(
        self, density: Path, tmp_path: Path, table: str, judged: list[str]
    ) -> None:
        model, output = tmp_path / "model", tmp_path / "out"
        shutil.copytree(density, model)
        path = model / "configs" / "metadata.json"
        path.write_text(path.read_text().replace('"D"', '"No finding"'))
        (tmp_path / "data").mkdir()
        data = self.folder(tmp_path / "data", table)
        assert main(["evaluate", str(model), "--data", str(data), "--output", str(output)]) == 0
        assert list(json.loads((output / "evaluation.json").read_text())["labels"]) == judged

    def test_a_table_of_other_labels_is_refused(
        self, density: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "data").mkdir()
        data = self.folder(tmp_path / "data", "Hernia")
        assert main(["evaluate", str(density), "--data", str(data), "--output", str(tmp_path / "out")]) == 2
        assert "spelt as the model spells them" in told(capsys)

    def test_two_pictures_of_one_name_are_refused(
        self, density: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("x", "y"):
            (tmp_path / "data" / name).mkdir(parents=True)
        data = self.folder(tmp_path / "data", "A")
        write_png(data / "x" / "1.png")
        assert main(["evaluate", str(density), "--data", str(data), "--output", str(tmp_path / "out")]) == 2
        assert "'1.png' is in several folders" in told(capsys)

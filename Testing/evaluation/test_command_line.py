"""`evaluate` runs a detector or a classifier on what is known, and says in one sentence why it can't."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from DeepImagingLib.cli import main
from DeepImagingLib.phantoms import chest_xray

BUNDLES = Path(__file__).parents[2] / "Resources" / "Bundles"
SHIPPED = BUNDLES / "lung_nodule_ct_detection_small" / "configs"
FINDINGS = BUNDLES / "chest_xray_findings_small" / "configs"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped detector, tiny and with weights at random that find something everywhere."""
    root = tmp_path_factory.mktemp("bundles") / "tiny_detector"
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    config = json.loads((SHIPPED / "inference.json").read_text(encoding="utf-8"))
    features = {"out_channels": 8, "filters": [4, 8, 8], "kernel_size": [3, 3, 3], "strides": [2, 2, 2]}
    config["network_def"]["feature_extractor"] |= features | {"upsample_kernel_size": [2, 2]}
    config["window"] = [32, 32, 32]
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    (root / "configs" / "metadata.json").write_bytes((SHIPPED / "metadata.json").read_bytes())
    torch.manual_seed(0)
    network = ConfigParser(config["network_def"]).get_parsed_content()
    torch.nn.init.constant_(network.classification_head.cls_logits.bias, 0)
    torch.save(network.state_dict(), root / "models" / "model.pt")
    return root


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped classifier of radiographs, tiny and with weights at random."""
    root = tmp_path_factory.mktemp("bundles") / "tiny_classifier"
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    config = json.loads((FINDINGS / "inference.json").read_text(encoding="utf-8"))
    config["network_def"] |= {"init_features": 4, "growth_rate": 4, "block_config": [1, 1]}
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    (root / "configs" / "metadata.json").write_bytes((FINDINGS / "metadata.json").read_bytes())
    torch.manual_seed(0)
    torch.save(ConfigParser(config["network_def"]).get_parsed_content().state_dict(), root / "models" / "model.pt")
    return root


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scans of noise with a finding each beside them."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    for name in ("one", "two"):
        values = rng.normal(-500, 200, (24, 24, 24)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, affine), folder / f"{name}.nii.gz")
        finding = {"label": "nodule", "center_ras": [-24, -24, 24], "size_mm": [10, 10, 10], "review": "accepted"}
        (folder / f"{name}.json").write_text(json.dumps({"findings": [finding]}), encoding="utf-8")
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a call."""
    code = main(["evaluate", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_it_measures_and_writes(bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (bundle, "--data", scans, "--output", tmp_path / "told", "--device", "cpu", "--json")
    code, out, err = call(capsys, *words)
    assert code == 0, err
    told = json.loads(out)
    assert told == json.loads((tmp_path / "told" / "evaluation.json").read_text(encoding="utf-8"))
    assert (told["scans"], told["lesions"]) == (2, 2) and 0 <= told["cpm"] <= 1
    assert {path.name for path in (tmp_path / "told").iterdir()} == {"evaluation.json", "findings.csv", "froc.png"}


def test_radiographs_of_one_phantom_are_one_subject(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chest_xray, "BODY_SPACING", (8.0, 8.0, 8.0))  # drawn in a tenth of the time
    words = ("--phantoms", "1000001:1000002", "--exposures", 2, "--output", tmp_path, "--device", "cpu", "--json")
    code, out, err = call(capsys, classifier, *words)
    assert code == 0, err
    told = json.loads(out)
    assert (told["images"], told["subjects"]) == (2, 1)
    assert told["on"] == "phantoms 1000001:1000002, 2 radiographs of each"
    rows = (tmp_path / "images.csv").read_text(encoding="utf-8")
    assert all(f"radiograph {2_000_002 + number}" in rows for number in range(2))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--data DIR or --phantoms"),
        (("--phantoms", "5"), "FIRST:LAST"),
        (("--phantoms", "7:7"), "FIRST:LAST"),
        (("--phantoms", "7:8", "--exposures", "2"), "for a classifier"),
        (("--data", "nowhere"), "nowhere"),
    ],
)
def test_what_is_missing_is_named(
    words: tuple[str, ...], said: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, bundle, *words, "--output", tmp_path / "told")
    assert (code, err.count("\n")) == (2, 1) and said in err
    assert not (tmp_path / "told").exists()


def test_a_radiograph_is_the_least(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--phantoms", "7:8", "--exposures", "0", "--output", tmp_path / "told")
    code, _, err = call(capsys, classifier, *words)
    assert (code, err.count("\n")) == (2, 1) and "--exposures" in err


def test_a_scan_of_which_nothing_is_known_is_told(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "one.nii.gz").write_bytes((scans / "one.nii.gz").read_bytes())
    code, _, err = call(capsys, bundle, "--data", tmp_path / "alone", "--output", tmp_path / "told")
    assert (code, err.count("\n")) == (2, 1) and "one.json" in err


def test_scans_without_lesions_are_evaluated(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.nii.gz").write_bytes((scans / f"{name}.nii.gz").read_bytes())
    (folder / "annotations.csv").write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n")
    code, out, err = call(capsys, bundle, "--data", folder, "--output", tmp_path / "told", "--device", "cpu")
    assert code == 0 and "0 lesions in 2 scans" in out and "2 scans have no entry" in out, err


def test_a_scan_that_cannot_be_read_is_left_out_and_told(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(scans, tmp_path / "some"))
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    (folder / "broken.json").write_text(json.dumps({"findings": []}))
    code, out, _ = call(capsys, bundle, "--data", folder, "--output", tmp_path / "told", "--device", "cpu")
    told = json.loads((tmp_path / "told" / "evaluation.json").read_text(encoding="utf-8"))
    assert code == 1 and "broken was left out" in out
    assert list(told["failed"]) == ["broken"] and told["scans"] == 2


def test_an_output_that_is_a_file_is_refused_before_anything_is_run(
    bundle: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("DeepImagingLib.cli.evaluate_boxes._found", pytest.fail)
    code, _, err = call(capsys, bundle, "--data", scans, "--output", tmp_path / "file")
    assert code == 2 and "another folder" in err and (tmp_path / "file").read_text() == "mine"


def test_a_model_that_finds_no_boxes_is_refused(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "torso_ct_segmentation", "--data", scans, "--output", tmp_path / "told")
    assert (code, err.count("\n")) == (2, 1) and "detector" in err

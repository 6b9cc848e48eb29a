"""The command line, batches and hosts with a bundle that finds boxes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DeepImagingLib import Options, run
from DeepImagingLib.files import Voxels, read
from DeepImagingLib.hosts import InProcessHost, RunJob, WorkerHost
from DeepImagingLib.results import Detections
from Testing.bundles.make_detectors import write_detector
from Testing.command_line.conftest import write_scan

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp("models") / "detector")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("scans") / "ct.nii.gz")


class TestCommandLine:
    def test_boxes_are_written_as_json_and_csv(self, call: Call, detector: Path, scan: Path, tmp_path: Path) -> None:
        outputs = [tmp_path / "found.json", tmp_path / "found.csv"]
        words = [word for path in outputs for word in ("--output", path)]
        outcome = call("run", scan, "--model", detector, "--precision", "full", *words)
        assert outcome.code == 0, outcome.err
        told, found = json.loads(outputs[0].read_text()), run(detector, scan, Options(precision="full"))
        centers = [box["center_ras"] for box in (*told["findings"], *told["below_threshold"])]
        np.testing.assert_allclose(centers, [box.center for box in found.boxes], atol=2e-3)
        assert len(told["findings"]) == len(found.findings)
        assert told["provenance"]["bundle"] == "detector"
        assert len(list(csv.reader(outputs[1].open()))) == 1 + len(found.boxes)
        assert outcome.out.count("RAS mm") == len(found.findings) and f"Wrote {outputs[0]}" in outcome.out

    def test_nothing_found_is_a_plain_sentence(self, call: Call, scan: Path, tmp_path: Path) -> None:
        strict = {"detector_ops": ["$@detector.set_box_selector_parameters(score_thresh=1.0)"]}
        folder = write_detector(tmp_path / "strict", settings=strict)
        outcome = call("run", scan, "--model", folder, "--output", tmp_path / "x.json")
        assert outcome.code == 0
        assert "Nothing was found at a score of 0.3 or above." in outcome.out

    @pytest.mark.parametrize("name", ["x.nii.gz", "x.seg.nrrd"])
    def test_masks_of_a_detector_are_refused(
        self, call: Call, detector: Path, scan: Path, tmp_path: Path, name: str
    ) -> None:
        outcome = call("run", scan, "--model", detector, "--output", tmp_path / name)
        assert outcome.code == 2
        assert f"finds boxes, which '{name}' can't hold; write .csv" in outcome.err

    def test_boxes_of_a_segmentation_are_refused(self, call: Call, bundle: Path, scan: Path, tmp_path: Path) -> None:
        outcome = call("run", scan, "--model", bundle, "--output", tmp_path / "x.csv")
        assert outcome.code == 2 and "finds segments" in outcome.err

    def test_a_batch_counts_findings(self, call: Call, detector: Path, scan: Path, tmp_path: Path) -> None:
        (tmp_path / "scans").mkdir()
        for name in ("one.nii.gz", "two.nii.gz"):
            (tmp_path / "scans" / name).write_bytes(scan.read_bytes())
        outcome = call("batch", tmp_path / "scans", "--model", detector, "--output", tmp_path / "out")
        assert outcome.code == 0, outcome.err
        rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").open()))
        told = json.loads((tmp_path / "out" / "one.json").read_text())
        assert [row["findings"] for row in rows] == [str(len(told["findings"]))] * 2
        assert float(rows[0]["highest score"]) == max(
            box["score"] for box in (*told["findings"], *told["below_threshold"])
        )
        assert (tmp_path / "out" / "two.csv").is_file()


@pytest.mark.parametrize("make", [InProcessHost, lambda: WorkerHost(threads=1)], ids=["in process", "worker"])
def test_boxes_come_through_a_host_as_they_are(make: Callable[[], Any], detector: Path, scan: Path) -> None:
    image = read(scan)
    voxels = Voxels(np.ascontiguousarray(image.numpy()[0].transpose(2, 1, 0)), np.asarray(image.affine))
    options = Options(device="cpu", precision="full", probabilities=("nodule",))
    host = make()
    try:
        outcome = host.submit(RunJob(detector, voxels, options)).result()
    finally:
        host.close()
    by_call = run(detector, scan, options)
    assert isinstance(outcome.result, Detections) and outcome.measures == ()
    assert outcome.result.labels == by_call.labels and outcome.result.threshold == by_call.threshold
    np.testing.assert_allclose(
        [box.index_box for box in outcome.result.boxes], [box.index_box for box in by_call.boxes], atol=1e-3
    )
    np.testing.assert_allclose(outcome.result.heatmap["nodule"], by_call.heatmap["nodule"], atol=1e-5)

"""Training as a job: looked at, done in another process, stopped with the best so far."""

from __future__ import annotations

from pathlib import Path

import pytest

from DeepImagingLib.errors import CancelledError, InputError
from DeepImagingLib.hosts import WorkerHost
from DeepImagingLib.hosts.training import (
    CheckTraining,
    KeepBest,
    Order,
    Standing,
    Train,
    order_to_go_on,
    standing,
)
from Testing.training import tiny

QUICK = {"patch": [16, 16, 16], "epochs": 1, "batch_size": 1, "augmentation": []}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_scans(tmp_path_factory.mktemp("scans"))


def order(scans: Path, output: Path, **settings: object) -> Order:
    return Order(scans, "stone,spleen", "scratch", output, "cpu", {**QUICK, **settings})


class TestTheCheck:
    def test_it_tells_splits_plan_and_labels_and_writes_nothing(self, worker, scans, tmp_path):
        outline = worker.submit(CheckTraining(order(scans, tmp_path / "out"))).result()
        assert sorted(split for _, split in outline.cases) == ["train"] * 3 + ["validation"]
        assert outline.labels == ("background", "stone", "spleen") and not outline.problems
        assert ("patch", "[16, 16, 16]", "as you set it") in outline.plan
        assert not (tmp_path / "out").exists()

    def test_problems_lead_to_their_cases(self, worker, scans, tmp_path):
        rows = ["image,label", *(f"{scans}/images/secret{n}.nii.gz,{scans}/labels/secret{n}.nii.gz" for n in range(2))]
        (tmp_path / "list.csv").write_text("\n".join([*rows, "gone.nii,gone.nii"]) + "\n")
        outline = worker.submit(CheckTraining(order(tmp_path / "list.csv", tmp_path / "out"))).result()
        assert {(place, fatal) for _, place, fatal in outline.problems} == {(2, True)}
        assert not outline.plan


class TestTheTraining:
    def test_it_leaves_a_bundle(self, worker, scans, tmp_path):
        trained = worker.submit(Train(order(scans, tmp_path / "out"))).result()
        assert (trained.bundle / "models" / "model.pt").is_file() and 0 <= trained.dice <= 1
        assert (trained.bundle / "training" / "examples.png").stat().st_size > 10_000

    def test_stopped_the_best_so_far_is_kept(self, worker: WorkerHost, scans, tmp_path):
        output = tmp_path / "out"
        handle = worker.submit(Train(order(scans, output, epochs=100_000)))
        while not (output / "training" / "best.pt").is_file():
            worker.wait()
            assert not handle.done, handle.error
        handle.cancel()
        with pytest.raises(CancelledError):
            handle.result()
        assert not (output / "models").exists() and standing(output) is Standing.BEGUN
        further = order_to_go_on(output)
        assert further.resume and further.settings["epochs"] == 100_000 and further.data == scans
        trained = worker.submit(KeepBest(output)).result()
        assert standing(trained.bundle) is Standing.FINISHED

    def test_what_nobody_noted_cant_be_gone_on_with(self, tmp_path):
        assert standing(tmp_path) is Standing.NEW
        with pytest.raises(InputError, match="take another name"):
            order_to_go_on(tmp_path)

    def test_before_the_first_checkpoint_there_is_nothing_to_keep(self, worker, tmp_path):
        with pytest.raises(InputError, match=r"best\.pt"):
            worker.submit(KeepBest(tmp_path)).result()

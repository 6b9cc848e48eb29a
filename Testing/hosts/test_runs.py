"""Runs of models through hosts: the same answer as without, warm models, and what goes wrong in the middle of one."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from DeepImagingLib import Options, load_bundle, plan, road, run
from DeepImagingLib.errors import BundleError, CancelledError, InputError, MemoryLimitError, WorkerError
from DeepImagingLib.files import Voxels
from DeepImagingLib.hosts import Context, PlanJob, RunJob
from DeepImagingLib.hosts import warm as warm_models
from DeepImagingLib.hosts.warm import WarmModels
from Testing.bundles import make_bundles as make
from Testing.grids import affine
from Testing.hosts.conftest import go_on_until_stage

GRID = affine("LPS", (2.0, 2.0, 2.5), (40, 30, 20))
CPU = torch.device("cpu")
SLOW = "$lambda x: __import__('time').sleep(0.4) or x"
BROKEN = "$lambda x: 1 / 0"
PLAIN = "$lambda x, network: network(x)"
HUNG = "$lambda x, network: __import__('time').sleep(1000)"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write_spleen_like(tmp_path_factory.mktemp("models") / "spleen_like")


@pytest.fixture
def voxels() -> Voxels:
    """As a volume node has them: (K, J, I), in the type of a scanner."""
    rng = np.random.default_rng(0)
    return Voxels(rng.normal(0, 300, (28, 32, 36)).astype(np.int16), GRID)


def trusted(folder: Path, changes: dict[str, Any]) -> tuple[Path, str]:
    """Write a bundle whose config runs code of its own, and return it with what trusts it."""
    path = make.change_config(make.write_spleen_like(folder / "foreign"), changes)
    return path, _fingerprint(path)


def _fingerprint(path: Path) -> str:
    from DeepImagingLib.bundles.fingerprint import fingerprint

    return fingerprint(path)


def with_step(bundle: Path, function: str) -> dict[str, Any]:
    steps = make.read_config(bundle)["preprocessing"]["transforms"]
    step = {"_target_": "Lambdad", "keys": "image", "func": function}
    return {"preprocessing": {"_target_": "Compose", "transforms": [*steps, step]}}


def test_the_answer_is_that_of_the_one_call(host, bundle, voxels):
    outcome = host.submit(RunJob(bundle, voxels)).result()
    alone = run(bundle, voxels.image())
    assert np.array_equal(outcome.result.layers, alone.layers)
    assert np.array_equal(outcome.result.affine, alone.affine)
    assert outcome.result.segments == alone.segments
    assert outcome.result.provenance.input_sha256 == alone.provenance.input_sha256
    assert outcome.result.provenance.sha256 == load_bundle(bundle).sha256


def test_layers_lie_as_slicer_keeps_them(host, bundle, voxels):
    layers = host.submit(RunJob(bundle, voxels)).result().result.layers
    assert all(layer.flags.f_contiguous for layer in layers)


def test_probability_volumes_do_too(in_process, bundle, voxels, monkeypatch):
    def answer(*given, run=road.run, **more):
        result = run(*given, **more)
        return replace(result, probability={"spleen": np.ascontiguousarray(result.layers[0], np.float32)})

    monkeypatch.setattr(road, "run", answer)
    result = in_process.submit(RunJob(bundle, voxels)).result().result
    assert result.probability["spleen"].flags.f_contiguous
    assert np.array_equal(result.probability["spleen"], result.layers[0])


def test_measures_are_those_of_the_segments_on_the_input(host, bundle, voxels):
    outcome = host.submit(RunJob(bundle, voxels)).result()
    segment, measure = outcome.result.segments[0], outcome.measures[0]
    inside = voxels.image()[0].numpy()[outcome.result.mask(segment)]
    assert measure.id == segment.id
    assert measure.mean == pytest.approx(inside.mean(), rel=1e-4)


def test_channels_go_by_name(host, tmp_path, voxels):
    brats = make.write_brats_like(tmp_path / "brats")
    names = load_bundle(brats).channels
    outcome = host.submit(RunJob(brats, dict.fromkeys(names, voxels))).result()
    assert outcome.result.layers.shape[1:] == (36, 32, 28)


def test_files_are_read_where_the_run_is(host, bundle, tmp_path, voxels):
    import nibabel

    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels.array.transpose(2, 1, 0), GRID), path)
    from_file = host.submit(RunJob(bundle, path)).result()
    assert np.array_equal(from_file.result.layers, host.submit(RunJob(bundle, voxels)).result().result.layers)


class TestPlan:
    """Of a run that is not run."""

    @pytest.fixture
    def voxels(self, voxels) -> Voxels:
        """More than one window."""
        return Voxels(np.tile(voxels.array, (4, 4, 4)), GRID)

    def test_is_that_of_the_one_call(self, host, bundle, voxels):
        told = host.submit(PlanJob(bundle, voxels, Options(memory_limit=2 * 10**9))).result()
        alone = plan(bundle, voxels.image(), Options(memory_limit=2 * 10**9))
        assert told.sentence.startswith(f"{alone.windows} windows on cpu, {alone.way.batch} at once")
        assert told.numbers["windows"] == alone.windows and told.numbers["device_limit"] == 2 * 10**9
        assert 0 < told.numbers["host_bytes"] < 2 * 10**9
        assert told.as_plain() == {"sentence": told.sentence, **told.numbers}

    def test_of_one_that_will_not_fit_is_the_refusal(self, host, bundle, voxels):
        big = Voxels(np.tile(voxels.array, (2, 2, 2)), GRID)
        with pytest.raises(MemoryLimitError, match=r"needs .* but may take 67 MB; "):
            host.submit(PlanJob(bundle, big, Options(memory_limit=64 << 20))).result()
        assert host.submit(PlanJob(bundle, voxels)).result().sentence

    def test_of_one_that_cannot_be_planned_says_why(self, host, tmp_path, bundle, voxels):
        path, trust = trusted(tmp_path, {"inferer": PLAIN})
        told = host.submit(PlanJob(path, voxels, trust=trust)).result()
        assert told.sentence.startswith("All channels at once, as the bundle has it") and not told.numbers


def test_wrong_input_is_told_as_without_a_host(host, bundle):
    empty = Voxels(np.zeros((8, 8, 8), np.int16), GRID)
    with pytest.raises(InputError, match="is 0 everywhere"):
        host.submit(RunJob(bundle, empty)).result()


class TestFaults:
    @pytest.mark.parametrize("stage", ["Loading the model", "Preprocessing", "Network"])
    def test_killed_in_a_stage(self, worker, tmp_path, bundle, voxels, stage):
        slow = trusted(tmp_path, with_step(bundle, SLOW) | {"inferer#overlap": 0.8})
        handle = worker.submit(RunJob(slow[0], voxels, trust=slow[1]))
        go_on_until_stage(handle, worker, stage)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="signal 9"):
            handle.result(timeout=5)
        assert worker.submit(RunJob(bundle, voxels)).result().measures

    def test_an_exception_in_a_transform(self, host, tmp_path, bundle, voxels):
        path, trust = trusted(tmp_path, with_step(bundle, BROKEN))
        with pytest.raises(BundleError, match=r"failed on this input \(.*division by zero"):
            host.submit(RunJob(path, voxels, trust=trust)).result()
        assert host.submit(RunJob(bundle, voxels)).result().measures

    def test_a_network_that_hangs(self, worker, tmp_path, bundle, voxels):
        path, trust = trusted(tmp_path, {"inferer": HUNG})
        handle = worker.submit(RunJob(path, voxels, trust=trust))
        go_on_until_stage(handle, worker, "Network")
        handle.cancel()
        with pytest.raises(CancelledError):
            handle.result(timeout=10)
        assert worker.submit(RunJob(bundle, voxels)).result().measures

    @pytest.mark.skipif(sys.platform != "linux", reason="sets a limit that only Linux keeps")
    def test_out_of_memory(self, worker, bundle, voxels):
        big = Voxels(np.tile(voxels.array, (6, 6, 6)), GRID)
        worker.submit(RunJob(bundle, voxels)).result()
        with pytest.raises(MemoryLimitError, match="more memory"):
            worker.submit(Limited(RunJob(bundle, big))).result()
        assert worker.submit(RunJob(bundle, voxels)).result().measures

    def test_foreign_code_runs_where_it_was_trusted_only(self, host, tmp_path, bundle, voxels):
        from DeepImagingLib.errors import TrustError

        path, _ = trusted(tmp_path, with_step(bundle, SLOW))
        with pytest.raises(TrustError):
            host.submit(RunJob(path, voxels)).result()


@dataclass(frozen=True)
class Limited:
    """Does a job with hardly more address space than the process has."""

    job: RunJob

    def perform(self, context: Context) -> Any:
        import resource

        import psutil

        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (48 << 20), before[1]))
        try:
            return self.job.perform(context)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


class TestWarmModels:
    def test_stay_built(self, bundle):
        models = WarmModels()
        first = models.build(models.load(bundle), CPU)
        assert models.build(models.load(bundle), CPU) is first

    def test_are_built_anew_when_a_file_changed(self, tmp_path):
        bundle = make.write_spleen_like(tmp_path / "changing")
        models = WarmModels()
        first, digest = models.build(models.load(bundle), CPU), models.load(bundle).sha256
        make.write_spleen_like(bundle, seed=1)
        second = models.build(models.load(bundle), CPU)
        assert second is not first and models.load(bundle).sha256 != digest

    def test_make_room_for_the_newest(self, bundle, tmp_path, monkeypatch):
        other = make.write_spleen_like(tmp_path / "other")
        models = WarmModels()
        first = models.build(models.load(bundle), CPU)
        monkeypatch.setattr(warm_models, "SHARE", 1 << 60)
        second = models.build(models.load(other), CPU)
        assert models.build(models.load(other), CPU) is second
        assert models.build(models.load(bundle), CPU) is not first

    def test_what_was_trusted_is_another_model_than_what_was_judged(self, bundle):
        models = WarmModels()
        judged = models.load(bundle)
        assert models.load(bundle, trust=_fingerprint(bundle)).trusted and not judged.trusted


def test_a_region_comes_along(host, bundle, voxels):
    options = Options(roi=((4, 30), (4, 30), (4, 24)))
    outcome = host.submit(RunJob(bundle, voxels, options)).result()
    assert outcome.result.provenance.options["roi"] == [[4, 30], [4, 30], [4, 24]]

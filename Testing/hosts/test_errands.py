"""Small jobs beside the runs."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib.bundles import list_bundles
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.errors import BundleError, CancelledError
from DeepImagingLib.hosts.errands import AddModel, Fingerprint, MakeChest, MakePhantom, MakeRadiograph
from DeepImagingLib.hosts.job import Context
from DeepImagingLib.hosts.warm import WarmModels
from DeepImagingLib.phantoms import chest_xray, lung_nodules
from Testing.bundles import make_bundles as make


def test_a_phantom_is_the_same_wherever_it_is_made(in_process, worker):
    phantom = MakePhantom(spacing=(10.0, 10.0, 10.0))
    here, there = in_process.submit(phantom).result(), worker.submit(phantom).result()
    assert np.array_equal(here.array, there.array) and np.array_equal(here.affine, there.affine)
    assert here.array.dtype == np.int16 and here.array.min() < -900


def test_a_radiograph_lies_as_slicer_lays_a_picture(in_process, monkeypatch):
    monkeypatch.setattr(chest_xray, "BODY_SPACING", (8.0, 8.0, 8.0))  # drawn in a tenth of the time
    errand = MakeRadiograph(findings=("effusion",))
    made = in_process.submit(errand).result()
    meant = chest_xray.sample(errand.seed, findings=["effusion"], photometric="MONOCHROME2")[0]["cxr"]
    assert made.array.dtype == np.int16 and np.array_equal(made.array, meant.numpy()[0].T[None])
    assert np.array_equal(made.affine, meant.affine)


@pytest.mark.slow
def test_a_chest_lies_as_it_was_made(in_process):
    made = in_process.submit(MakeChest()).result()
    meant = lung_nodules.sample(MakeChest().seed)[0]["ct"]
    assert np.array_equal(made.array, np.rint(meant.numpy()[0]).T) and np.array_equal(made.affine, meant.affine)


def test_a_model_is_added_in_the_worker_and_found_here(worker, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path / "models"))
    worker.close()  # it is started anew, with this environment
    make.write_spleen_like(tmp_path / "download" / "spleen")
    folder = worker.submit(AddModel(tmp_path / "download" / "spleen")).result()
    assert folder in list_bundles()
    with pytest.raises(BundleError, match="spleen already"):
        worker.submit(AddModel(tmp_path / "download" / "spleen")).result()
    worker.close()


def test_a_model_is_not_added_where_that_is_cancelled(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path / "models"))
    make.write_spleen_like(tmp_path / "download" / "spleen")
    context = Context(WarmModels(), lambda _: None, lambda: True)
    with pytest.raises(CancelledError):
        AddModel(tmp_path / "download" / "spleen").perform(context)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_is_read_in_the_worker(worker, tmp_path):
    bundle = make.write_spleen_like(tmp_path / "spleen")
    assert worker.submit(Fingerprint(bundle)).result() == fingerprint(bundle)

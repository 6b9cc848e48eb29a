"""The command line does what it says: same voxels as the call, outputs by their ending, plain answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import nibabel
import numpy as np
import pytest

import DeepImagingLib
from DeepImagingLib import Options, road
from DeepImagingLib.results import Segmentation
from DeepImagingLib.tasks.segmentation import channels_of
from Testing.bundles import make_bundles as make
from Testing.command_line.conftest import GRID, write_scan
from Testing.files.series import write_series


class TestRun:
    def test_both_faces_give_the_same_voxels(self, call, bundle, scan, tmp_path) -> None:
        outcome = call("run", scan, "--model", bundle, "--output", tmp_path / "out" / "labels.nii.gz")
        assert outcome.code == 0, outcome.err
        by_call = DeepImagingLib.run(bundle, scan)
        written = nibabel.load(tmp_path / "out" / "labels.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), by_call.layers[0])
        np.testing.assert_allclose(written.affine, GRID)

    def test_a_worker_gives_the_same_files(self, call, bundle, scan, tmp_path) -> None:
        outputs = [tmp_path / name for name in ("here.nii.gz", "there.nii.gz")]
        for output, more in zip(outputs, ([], ["--worker"]), strict=True):
            assert call("run", scan, "--model", bundle, "--output", output, *more).code == 0
        here, there = (np.asarray(nibabel.load(output).dataobj) for output in outputs)
        np.testing.assert_array_equal(here, there)

    def test_json_on_stdout_is_the_report(self, call, bundle, scan, tmp_path) -> None:
        outcome = call("run", scan, "--model", bundle, "--output", tmp_path / "report.json", "--json")
        printed, written = json.loads(outcome.out), json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert printed["segments"] == written["segments"]
        assert printed["segments"][0]["milliliters"] > 0
        provenance = written["provenance"]
        assert len(provenance["sha256"]) == 64
        assert provenance["seconds"]["Network"] > 0
        assert provenance["peak_memory"] > 1e8
        assert str(tmp_path) not in json.dumps(written), "a report names no path"

    def test_overlapping_segments_get_a_file_each_and_it_is_said(self, call, brats, tmp_path) -> None:
        channels = [
            f"{n}={write_scan(tmp_path / f'{n}.nii.gz', seed=i)}" for i, n in enumerate(["t1c", "t1", "t2", "flair"])
        ]
        outcome = call("run", *channels, "--model", brats, "--output", tmp_path / "tumour.nii.gz")
        assert outcome.code == 0, outcome.err
        names = [f"tumour_{name}.nii.gz" for name in ("Tumor_core", "Whole_tumor", "Enhancing_tumor")]
        assert all((tmp_path / name).exists() and name in outcome.out for name in names)
        assert not (tmp_path / "tumour.nii.gz").exists()

    def test_a_region_limits_the_run_and_keeps_the_grid(self, call, bundle, scan, tmp_path) -> None:
        call("run", scan, "--model", bundle, "--output", tmp_path / "part.nii.gz", "--roi", "4:30,2:28,5:25")
        labels = np.asarray(nibabel.load(tmp_path / "part.nii.gz").dataobj)
        assert labels.shape == (36, 32, 28)
        inside = labels[4:30, 2:28, 5:25].copy()
        assert inside.any()
        labels[4:30, 2:28, 5:25] = 0
        assert not labels.any()
        by_call = DeepImagingLib.run(bundle, scan, Options(roi=((4, 30), (2, 28), (5, 25))))
        np.testing.assert_array_equal(by_call.layers[0][4:30, 2:28, 5:25], inside)

    def test_results_in_the_folder_of_the_series_can_be_made_again(self, call, bundle, tmp_path) -> None:
        write_series(tmp_path / "ct", [0, 2, 4, 6])
        for _ in range(2):
            outcome = call("run", tmp_path / "ct", "--model", bundle, "--output", tmp_path / "ct" / "labels.nii.gz")
            assert outcome.code == 0, outcome.err

    def test_not_a_number_is_filled_and_said(self, call, bundle, tmp_path) -> None:
        array = np.asarray(nibabel.load(write_scan(tmp_path / "a.nii.gz")).dataobj, np.float32)
        array[:5] = np.nan
        outcome = call(
            "run", write_scan(tmp_path / "b.nii.gz", array=array), "--model", bundle, "--output", tmp_path / "o.json"
        )
        assert outcome.code == 0
        assert "4480 voxels" in outcome.out
        assert "NaN" in outcome.out

    def test_a_path_with_spaces_umlauts_and_200_characters_works(self, call, bundle, tmp_path) -> None:
        folder = tmp_path / "Ünïcödé mit leerzeichen" / ("y" * 130) / "日本 語"
        folder.mkdir(parents=True)
        outputs = [folder / f"é {name}" for name in ("a.seg.nrrd", "b.nii.gz", "c.json", "d.mrb", "e.png")]
        words = [word for output in outputs for word in ("--output", output)]
        outcome = call("run", write_scan(folder / "scan é.nii.gz"), "--model", bundle, *words)
        assert outcome.code == 0, outcome.err
        assert len(str(outputs[0])) > 200
        assert all(output.stat().st_size > 100 for output in outputs)

    def test_the_module_can_be_run(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "DeepImagingLib", "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == DeepImagingLib.__version__


class TestDryRun:
    @pytest.fixture(params=[4])
    def scan(self, tmp_path, request) -> Path:
        """A scan of several windows: so many times the small one along each axis."""
        once = np.asarray(nibabel.load(write_scan(tmp_path / "scan.nii")).dataobj)
        return write_scan(tmp_path / "scan.nii", array=np.tile(once, (request.param,) * 3))

    def test_tells_the_plan_and_writes_nothing(self, call, bundle, scan) -> None:
        before = sorted(scan.parent.rglob("*"))
        outcome = call("run", scan, "--model", bundle, "--dry-run", "--memory-limit", "2GB")
        assert outcome.code == 0, outcome.err
        assert re.fullmatch(r"\d+ windows on cpu, .* of 2\.0 GB of memory, about \d+ s\.\n", outcome.out)
        assert sorted(scan.parent.rglob("*")) == before

    @pytest.mark.parametrize("where", [[], ["--worker"]])
    def test_tells_its_numbers_as_json(self, call, bundle, scan, where) -> None:
        words = ["--dry-run", "--json", "--memory-limit", "2GB", "--precision", "full", *where]
        told = json.loads(call("run", scan, "--model", bundle, *words).out)
        assert (told["device"], told["precision"], told["host_limit"]) == ("cpu", "full", 2 * 10**9)
        assert 0 < told["host_bytes"] < told["host_limit"]
        assert told["sentence"].startswith(f"{told['windows']} windows on cpu, {told['at_once']} at once")

    def test_a_region_takes_fewer_windows(self, call, bundle, scan) -> None:
        def windows(*words: str) -> int:
            return json.loads(call("run", scan, "--model", bundle, "--dry-run", "--json", *words).out)["windows"]

        assert windows("--roi", "0:12,0:12,0:12") < windows()

    @pytest.mark.parametrize("scan", [8], indirect=True)
    @pytest.mark.parametrize("where", [[], ["--worker"]])
    def test_refuses_what_will_not_fit(self, call, bundle, scan, where) -> None:
        outcome = call("run", scan, "--model", bundle, "--dry-run", "--memory-limit", "64MiB", *where)
        assert (outcome.code, outcome.out) == (1, "")
        assert re.fullmatch(r"The run needs .* but may take 67 MB; .*\.\n", outcome.err)

    def test_tells_of_an_output_that_could_not_be_written(self, call, bundle, scan) -> None:
        outcome = call("run", scan, "--model", bundle, "--dry-run", "--output", scan.with_name("out.stl"))
        assert outcome.code == 2
        assert "'out.stl' has no known ending" in outcome.err

    def test_without_it_an_output_has_to_be_named(self, call, bundle, scan) -> None:
        outcome = call("run", scan, "--model", bundle)
        assert outcome.code == 2
        assert "--output" in outcome.err


class TestProbabilities:
    @pytest.fixture
    def probable(self, monkeypatch) -> list[Options]:
        """Have runs give volumes of what they are asked for; returns the options that came."""
        given: list[Options] = []

        def answer(bundle, images, options, *more, run=road.run, **kept) -> Segmentation:
            given.append(options)
            result = run(bundle, images, Options(roi=options.roi), *more, **kept)
            wanted = channels_of(options.probabilities, bundle.labels).items()
            return replace(result, probability={n: np.float32(0.5) * (result.layers[0] == c) for n, c in wanted})

        monkeypatch.setattr(road, "run", answer)
        return given

    def test_options_arrive_as_they_were_given(self, call, bundle, scan, tmp_path, probable) -> None:
        words = ["--probabilities", "spleen, background", "--memory-limit", "4 GiB", "--tta", "kj"]
        outcome = call("run", scan, "--model", bundle, "--output", tmp_path / "o.json", *words)
        assert outcome.code == 0, outcome.err
        assert probable == [Options(memory_limit=4 << 30, probabilities=("spleen", "background"), tta="jk")]

    @pytest.mark.parametrize(("ending", "kind"), [(".nii.gz", ".nii.gz"), (".seg.nrrd", ".nrrd")])
    def test_volumes_appear_beside_the_labels_and_it_is_said(
        self, call, bundle, scan, tmp_path, probable, ending, kind
    ) -> None:
        output = tmp_path / "out" / f"organs{ending}"
        outcome = call("run", scan, "--model", bundle, "--output", output, "--probabilities", "all")
        assert outcome.code == 0, outcome.err
        names = [output.name, f"organs_probability_spleen{kind}"]
        assert sorted(path.name for path in output.parent.iterdir()) == sorted(names)
        assert f"Wrote {output}, {names[1]}\n" in outcome.out

    def test_none_is_written_where_none_is_asked_for(self, call, bundle, scan, tmp_path, probable) -> None:
        outcome = call("run", scan, "--model", bundle, "--output", tmp_path / "out" / "organs.nii.gz")
        assert outcome.out.endswith(f"Wrote {tmp_path / 'out' / 'organs.nii.gz'}\n")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["organs.nii.gz"]

    def test_a_scene_holds_them(self, call, bundle, scan, tmp_path, probable) -> None:
        words = ["--output", tmp_path / "all.mrb", "--probabilities", "all"]
        assert call("run", scan, "--model", bundle, *words).code == 0
        with zipfile.ZipFile(tmp_path / "all.mrb") as archive:
            assert any(name.endswith("/spleen probability.nrrd") for name in map(unquote, archive.namelist()))


class TestTelling:
    def test_models_list_names_the_shipped_model(self, call) -> None:
        assert "torso_ct_segmentation" in call("models", "list").out

    def test_models_list_tells_of_a_broken_one(self, call, tmp_path, monkeypatch) -> None:
        (tmp_path / "broken" / "configs").mkdir(parents=True)
        (tmp_path / "broken" / "configs" / "metadata.json").write_text("{")
        monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path))
        told = {row["name"]: row for row in json.loads(call("models", "list", "--json").out)}
        assert "problem" in told["broken"]
        assert told["torso_ct_segmentation"]["labels"] == 25

    def test_models_show_tells_how_the_shipped_model_was_made(self, call) -> None:
        told = call("models", "show", "torso_ct_segmentation").out
        for words in ("not for clinical use", "phantom", "liver", "right kidney", "CT"):
            assert words in told

    def test_models_are_added_and_removed(self, call, bundle, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path / "own"))
        assert f"Added {bundle.name}: {tmp_path / 'own' / bundle.name}" in call("models", "add", bundle).out
        assert bundle.name in call("models", "list").out
        again = call("models", "add", bundle)
        assert again.code == 2
        assert call("models", "add", bundle, "--replace").code == 0
        assert call("models", "remove", bundle.name).out == f"Removed {bundle.name}.\n"
        assert bundle.name not in call("models", "list").out
        assert call("models", "remove", "torso_ct_segmentation").code == 2

    def test_one_that_needs_trust_is_added_and_that_is_said(self, call, bundle, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path / "own"))
        hostile = shutil.copytree(bundle, tmp_path / "hostile")
        make.change_config(hostile, {"inferer#overlap": "$__import__('os').getpid()"})
        added = call("models", "add", hostile)
        assert added.code == 0
        assert "--trust" in added.out

    @pytest.mark.parametrize("words", [["info"], ["info", "--json"]])
    def test_info_tells_versions_device_and_folders(self, call, words) -> None:
        told = call(*words).out
        assert "torch" in told
        assert "device" in told
        assert str(Path(DeepImagingLib.__file__).parents[1] / "Resources") in told.replace("\\\\", "\\")

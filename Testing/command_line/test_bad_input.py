"""Bad input gets one sentence that names the thing and the remedy, the right exit code, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DeepImagingLib import Options, run
from DeepImagingLib.cli import main
from DeepImagingLib.errors import CancelledError, InputError
from Testing.bundles import make_bundles as make
from Testing.command_line.conftest import GRID, write_scan
from Testing.files.series import write_series

WRONG_INPUT, FAILED = 2, 1


@pytest.fixture
def refused(call, tmp_path):
    """Run the words; check the exit code, that one sentence came, and that no output or stage is left."""

    def check(*words: object, code: int = WRONG_INPUT, output: Path | None = None) -> str:
        target = output or tmp_path / "results" / "out.seg.nrrd"
        before = sorted(tmp_path.rglob("*"))
        outcome = call("run", *words, "--output", target)
        assert outcome.code == code, outcome.err
        assert "Traceback" not in outcome.err
        assert outcome.err.count("\n") == 1, outcome.err
        assert not re.search(r"[a-z)]\. [A-Z]", outcome.err), f"more than one sentence: {outcome.err}"
        assert sorted(tmp_path.rglob("*")) == before
        return outcome.err

    return check


class TestImages:
    def test_a_missing_file(self, refused, bundle, tmp_path) -> None:
        assert "no file or folder" in refused(tmp_path / "absent.nii.gz", "--model", bundle)

    def test_a_file_that_is_no_image(self, refused, bundle, tmp_path) -> None:
        (tmp_path / "notes.txt").write_text("words")
        assert "'notes.txt' is not an image file" in refused(tmp_path / "notes.txt", "--model", bundle)

    def test_a_truncated_nifti(self, refused, bundle, scan) -> None:
        scan.write_bytes(scan.read_bytes()[:5000])
        assert "is it whole" in refused(scan, "--model", bundle)

    def test_an_empty_folder(self, refused, bundle, tmp_path) -> None:
        (tmp_path / "empty").mkdir()
        assert "holds no DICOM image" in refused(tmp_path / "empty", "--model", bundle)

    def test_uneven_slices(self, refused, bundle, tmp_path) -> None:
        write_series(tmp_path / "ct", [0, 2, 4, 7.3, 9.3], shift=0.3)
        said = refused(tmp_path / "ct", "--model", bundle)
        assert "tilted" in said
        assert "unequal" in said

    def test_several_series(self, call, bundle, tmp_path) -> None:
        write_series(tmp_path / "ct", [0, 2, 4], uid="1.2.3")
        write_series(tmp_path / "ct", [0, 2, 4], uid="1.2.4", seed=1)
        outcome = call("run", tmp_path / "ct", "--model", bundle, "--output", tmp_path / "o.json")
        assert outcome.code == WRONG_INPUT
        assert "1.2.3" in outcome.err
        assert "1.2.4" in outcome.err
        assert not (tmp_path / "o.json").exists()

    def test_a_picture_for_a_model_of_volumes(self, refused, bundle, tmp_path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / "p.png"))
        assert "two-dimensional (50 × 40 voxels)" in refused(tmp_path / "p.png", "--model", bundle)

    def test_mostly_not_numbers(self, refused, bundle, tmp_path) -> None:
        array = np.full((36, 32, 28), np.nan, np.float32)
        array[:10] = np.random.default_rng(0).normal(size=(10, 32, 28))
        assert "72 % of the voxels" in refused(write_scan(tmp_path / "nan.nii.gz", array=array), "--model", bundle)

    def test_the_same_value_everywhere(self, refused, bundle, tmp_path) -> None:
        scan = write_scan(tmp_path / "flat.nii.gz", array=np.full((36, 32, 28), -1000, np.int16))
        assert "is -1000 everywhere" in refused(scan, "--model", bundle)

    def test_a_spacing_of_zero(self, refused, bundle, tmp_path) -> None:
        image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(36, 32, 28)), None)
        image.header["pixdim"][1:4] = (1, 0, 2)
        image.header["sform_code"] = image.header["qform_code"] = 0
        nibabel.save(image, tmp_path / "flat.nii.gz")
        assert "spacing of 1 × 0 × 2 mm" in refused(tmp_path / "flat.nii.gz", "--model", bundle)

    def test_colours(self, refused, bundle, tmp_path) -> None:
        colours = np.zeros((8, 8, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
        nibabel.save(nibabel.Nifti1Image(colours, GRID), tmp_path / "rgb.nii.gz")
        assert "holds colours" in refused(tmp_path / "rgb.nii.gz", "--model", bundle)

    def test_a_name_too_long_for_the_system(self, refused, bundle, tmp_path) -> None:
        assert "can't be read" in refused(tmp_path / ("x" * 300), "--model", bundle)

    def test_a_sheared_grid(self, refused, bundle, tmp_path) -> None:
        grid = GRID.copy()
        grid[0, 2] = 1.0
        assert "sheared" in refused(write_scan(tmp_path / "sheared.nii.gz", grid=grid), "--model", bundle)


class TestChannels:
    def test_too_few(self, refused, brats, scan) -> None:
        assert "takes 4 inputs (T1c, T1, T2, FLAIR)" in refused(scan, "--model", brats)

    def test_wrong_names(self, refused, brats, scan) -> None:
        words = [f"{name}={scan}" for name in ("T1c", "T1", "T2", "DWI")]
        assert "has no input 'DWI'; its inputs are T1c, T1, T2, FLAIR" in refused(*words, "--model", brats)

    def test_two_for_a_model_of_one(self, refused, bundle, scan) -> None:
        assert "takes 1 input (image)" in refused(f"a={scan}", f"b={scan}", "--model", bundle)

    def test_several_without_names(self, refused, brats, scan) -> None:
        assert "NAME=FILE" in refused(scan, scan, "--model", brats)

    def test_on_different_grids(self, refused, brats, scan, tmp_path) -> None:
        grid = GRID.copy()
        grid[0, 3] += 5
        moved = write_scan(tmp_path / "moved.nii.gz", grid=grid)
        words = [f"T1c={scan}", f"T1={scan}", f"T2={moved}", f"FLAIR={scan}"]
        assert "5 mm apart" in refused(*words, "--model", brats)


class TestBundles:
    @pytest.fixture
    def own(self, bundle, tmp_path) -> Path:
        return Path(shutil.copytree(bundle, tmp_path / "own"))

    def test_an_unknown_name(self, refused, scan) -> None:
        assert "torso_ct_segmentation" in refused(scan, "--model", "no_such_model")

    def test_no_weights(self, refused, scan, own) -> None:
        (own / "models" / "model.pt").unlink()
        assert "no weights" in refused(scan, "--model", own)

    def test_wrong_weights(self, refused, scan, own) -> None:
        torch.save({"other.weight": torch.zeros(3)}, own / "models" / "model.pt")
        assert "weights" in refused(scan, "--model", own)

    def test_a_missing_key(self, refused, scan, own) -> None:
        config = make.read_config(own)
        del config["inferer"]
        (own / "configs" / "inference.json").write_text(json.dumps(config))
        assert "inferer" in refused(scan, "--model", own)

    def test_broken_json(self, refused, scan, own) -> None:
        path = own / "configs" / "inference.json"
        path.write_text(path.read_text()[:-30])
        assert "inference.json" in refused(scan, "--model", own)

    def test_an_unknown_network(self, refused, scan, own) -> None:
        make.change_config(own, {"network_def#_target_": "UNetOfTheFuture"})
        assert "UNetOfTheFuture" in refused(scan, "--model", own)

    def test_a_hostile_config(self, refused, scan, own, tmp_path) -> None:
        make.change_config(own, {"inferer#overlap": f"$__import__('os').system('touch {tmp_path / 'canary'}')"})
        said = refused(scan, "--model", own)
        assert "line" in said
        assert "--trust" in said

    def test_another_task(self, refused, scan, own) -> None:
        metadata = own / "configs" / "metadata.json"
        metadata.write_text(
            metadata.read_text().replace('"segmentation"', '"image"').replace("segmentation", "registration")
        )
        assert "is for registration" in refused(scan, "--model", own)


class TestOptions:
    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (("--device", "tpu"), "'tpu'"),
            (("--device", "cuda:7"), "cuda:7"),
            (("--precision", "quarter"), "'quarter'"),
            (("--roi", "0:5,0:5"), "0:5,0:5"),
            (("--roi", "0:5,9:5,0:5"), "Region"),
            (("--roi", "0:99,0:5,0:5"), "leaves the image"),
            (("--roi", "somewhere.mrk.json"), "somewhere.mrk.json"),
            (("--trust", "abc"), "SHA-256"),
            (("--memory-limit", "lots"), "'lots'"),
            (("--memory-limit", "4kB"), "4000"),
            (("--probabilities", "spleen,"), "''"),
            (("--probabilities", "liver"), "no label 'liver'"),
            (("--tta", "ix"), "'ix'"),
        ],
    )
    def test_a_wrong_value_is_named(self, refused, bundle, scan, words, named) -> None:
        assert named in refused(scan, "--model", bundle, *words)

    def test_a_missing_word_is_said_in_one_sentence(self, capsys) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["run", "scan.nii.gz"])
        assert ended.value.code == WRONG_INPUT
        said = capsys.readouterr().err
        assert "--model" in said
        assert said.count("\n") == 1

    def test_an_unknown_ending(self, refused, bundle, scan, tmp_path) -> None:
        assert ".seg.nrrd" in refused(scan, "--model", bundle, output=tmp_path / "out.docx")


class TestWriting:
    def test_a_folder_that_cannot_be_made(self, refused, bundle, scan, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        assert "can't be made" in refused(scan, "--model", bundle, output=tmp_path / "file" / "out.seg.nrrd")

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is a folder that even root can't write to")
    def test_a_folder_that_cannot_be_written_to(self, refused, bundle, scan) -> None:
        assert "can't be written to" in refused(scan, "--model", bundle, output=Path("/proc/out.seg.nrrd"))

    def test_an_output_that_is_the_input(self, refused, bundle, scan) -> None:
        before = scan.read_bytes()
        assert "would replace an input" in refused(scan, "--model", bundle, output=scan)
        assert scan.read_bytes() == before

    def test_a_probability_volume_in_the_place_of_the_input(self, refused, bundle, scan) -> None:
        before = scan.read_bytes()
        taken = scan.rename(scan.with_name("out_probability_spleen.nii.gz"))
        words = (taken, "--model", bundle, "--probabilities", "spleen")
        assert "would replace an input" in refused(*words, output=scan.with_name("out.nii.gz"))
        assert taken.read_bytes() == before

    def test_an_output_asked_for_twice(self, refused, bundle, scan, tmp_path) -> None:
        again = ("--output", tmp_path / "out.json")
        assert "asked for twice" in refused(scan, "--model", bundle, *again, output=tmp_path / "out.json")

    @pytest.mark.skipif(sys.platform == "win32", reason="a file size limit stands for a full disk")
    @pytest.mark.parametrize(
        "ending", [".nii.gz", *(pytest.param(e, marks=pytest.mark.slow) for e in (".seg.nrrd", ".mrb", ".png"))]
    )
    def test_a_full_disk(self, bundle, scan, tmp_path, ending) -> None:
        """A limit on the size of files fails writing as a full disk does, also inside VTK and SimpleITK."""
        code = (
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400));"
            "from DeepImagingLib.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        output = tmp_path / "results" / f"out{ending}"
        words = ["run", scan, "--model", bundle, "--output", output]
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
        )
        assert done.returncode == FAILED, done.stderr
        assert "could not be written" in done.stderr
        assert "Traceback" not in done.stderr
        assert not output.parent.exists()


class TestCancelling:
    def test_a_cancelled_call_stops_within_a_window(self, bundle, scan) -> None:
        seen: list[str] = []
        with pytest.raises(CancelledError, match="cancelled"):
            run(bundle, scan, progress=lambda p: seen.append(p.stage), cancel=lambda: "Network" in seen)
        assert seen[-1] == "Network"

    @pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
    @pytest.mark.parametrize(
        ("sent", "after", "more"),
        [
            *((sent, after, []) for sent in (signal.SIGINT, signal.SIGTERM) for after in (0.0, 1.0, 2.0)),
            *((signal.SIGINT, after, ["--worker"]) for after in (0.0, 2.0)),
        ],
    )
    def test_an_interrupted_command_leaves_nothing(self, bundle, scan, tmp_path, sent, after, more) -> None:
        outputs = [tmp_path / "results" / name for name in ("out.seg.nrrd", "out.mrb")]
        words = ["run", scan, "--model", bundle, *(word for output in outputs for word in ("--output", output)), *more]
        process = subprocess.Popen(
            [sys.executable, "-m", "DeepImagingLib", *map(str, words)], stderr=subprocess.PIPE, text=True
        )
        while not (tmp_path / "results").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(after)
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
        if process.returncode == 0:  # it came too late: then everything is there
            assert all(output.exists() for output in outputs)
        else:
            assert process.returncode == FAILED, said
            assert said == "The run was cancelled; nothing was kept.\n"
            assert not (tmp_path / "results").exists()


def test_options_are_checked_once_for_every_face() -> None:
    with pytest.raises(InputError, match="Precision 'quarter'"):
        Options(precision="quarter")

"""The set-up commands, called as a newcomer calls them, and the judgements behind them."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "setup_extension.py"

REFUSED = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by \
'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new \
connection: [Errno 111] Connection refused')': /monai/
ERROR: Could not find a version that satisfies the requirement monai==1.6.1 (from versions: none)
ERROR: No matching distribution found for monai==1.6.1
"""
NO_NAME = "socket.gaierror: [Errno -3] Temporary failure in name resolution"
TIMED_OUT = "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out."
OFFLINE = "ERROR: No matching distribution found for setuptools<90,>=77"
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
UNTRUSTED = "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
STRANGE = "Collecting monai\n  error: the moon is in the wrong phase\nnote: this is not pip's fault"


@pytest.fixture(scope="module")
def setup_extension() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("setup_extension", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository's root with an empty .venv in it, never installed; its path has a space and an umlaut."""
    root = tmp_path / "a pröject"
    (root / "DeepImagingLib").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copy(ROOT / "DeepImagingLib" / "requirements.txt", root / "DeepImagingLib")
    shutil.copy(SCRIPT, root)
    return root


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole environment of this Python, with pip and nothing else."""
    folder = tmp_path_factory.mktemp("venv") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    return folder


@pytest.fixture
def venv(project: Path, bare_venv: Path) -> Path:
    """Such an environment in the project, without a note of ours."""
    return Path(shutil.copytree(bare_venv, project / ".venv", symlinks=True))


@pytest.fixture
def finished(setup_extension: ModuleType, project: Path, venv: Path) -> Path:
    """The environment, noted to be complete."""
    setup_extension.finish(project, venv)
    return venv


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that a build installs."""
    tree = tmp_path_factory.mktemp("package") / "the trée"
    done = call("package", tree)
    assert done.returncode == 0, done.stderr
    return tree


def call(*arguments: object, script: Path = SCRIPT, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Call the script as one would in a terminal."""
    command = [python, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300)


def sentences(text: str) -> list[str]:
    """Split what was printed into its lines; a clear answer is a single one, and no traceback."""
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.strip()]


class TestScript:
    def test_imports_the_standard_library_only(self) -> None:
        nodes = list(ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names

    def test_keeps_a_syntax_that_old_pythons_can_read(self) -> None:
        ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))
        assert "from __future__ import annotations" not in SCRIPT.read_text(encoding="utf-8")

    def test_asks_for_a_command(self) -> None:
        done = call()
        assert done.returncode == 2
        assert "demo" in done.stderr


class TestPython:
    @pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 18), (3, 13, 0), (4, 0, 0)])
    def test_a_wrong_one_is_named_with_what_is_needed(
        self, setup_extension: ModuleType, version: tuple[int, ...]
    ) -> None:
        said = setup_extension.python_problem(version, lambda: None)
        assert ".".join(map(str, version)) in said
        assert "3.10, 3.11 or 3.12" in said
        assert "install Python 3.12" in said

    def test_a_fitting_one_that_is_here_is_named_by_its_command(self, setup_extension: ModuleType) -> None:
        assert "`python3.11 setup_extension.py" in setup_extension.python_problem((3, 13, 0), lambda: "python3.11")

    @pytest.mark.parametrize("minor", [10, 11, 12])
    def test_a_fitting_one_goes_on(self, setup_extension: ModuleType, minor: int) -> None:
        assert setup_extension.python_problem((3, minor, 0), lambda: None) is None

    @pytest.mark.parametrize("minor", [6, 7, 8, 9, 13, 14])
    def test_a_real_wrong_one_exits_with_one_sentence(self, minor: int) -> None:
        python = shutil.which(f"python3.{minor}")
        if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode:
            pytest.skip(f"there is no Python 3.{minor} here")
        done = call("demo", python=python)
        assert done.returncode == 2
        assert len(sentences(done.stderr)) == 1
        assert not done.stdout

    @pytest.mark.parametrize(
        ("machine", "word"),
        [
            (("Linux", "i686", "", 32), "32-bit"),
            (("Darwin", "x86_64", "14.1", 64), "Intel"),
            (("Darwin", "arm64", "13.6", 64), "macOS 14"),
        ],
    )
    def test_a_machine_that_pytorch_has_no_build_for_is_named(
        self, setup_extension: ModuleType, machine: tuple[str, str, str, int], word: str
    ) -> None:
        assert word in setup_extension.machine_problem(*machine)

    @pytest.mark.parametrize("machine", [("Linux", "x86_64", "", 64), ("Darwin", "arm64", "15.0", 64)])
    def test_other_machines_go_on(self, setup_extension: ModuleType, machine: tuple[str, str, str, int]) -> None:
        assert setup_extension.machine_problem(*machine) is None


class TestPyTorch:
    @pytest.mark.parametrize(
        ("system", "gpu", "index"),
        [
            ("Linux", False, "/cpu"),
            ("Linux", True, ""),
            ("Windows", True, "/cu130"),
            ("Windows", False, ""),
            ("Darwin", False, ""),
        ],
    )
    def test_the_build_suits_the_machine(self, setup_extension: ModuleType, system: str, gpu: bool, index: str) -> None:
        arguments, cost = setup_extension.torch_source(system, gpu, lambda url: True)
        assert arguments == (["--index-url", f"https://download.pytorch.org/whl{index}"] if index else [])
        assert not cost

    @pytest.mark.parametrize(("system", "gpu", "word"), [("Linux", False, "3 GB"), ("Windows", True, "GPU")])
    def test_the_cost_is_said_where_that_build_is_out_of_reach(
        self, setup_extension: ModuleType, system: str, gpu: bool, word: str
    ) -> None:
        arguments, cost = setup_extension.torch_source(system, gpu, lambda url: False)
        assert arguments == []
        assert word in cost

    def test_a_dead_index_is_out_of_reach(self, setup_extension: ModuleType) -> None:
        assert not setup_extension.reachable("http://127.0.0.1:9/")

    def test_its_version_comes_from_the_pyproject(self, setup_extension: ModuleType) -> None:
        pins = setup_extension.torch_requirements(ROOT)
        assert [pin.partition("==")[0] for pin in pins] == ["torch", "torchvision"]


class TestTroubles:
    @pytest.mark.parametrize(
        ("output", "word"),
        [
            (REFUSED, "No network"),
            (NO_NAME, "No network"),
            (TIMED_OUT, "No network"),
            (OFFLINE, "finds no setuptools"),
            (FULL, "disk is full"),
            (UNTRUSTED, "certificate"),
            (STRANGE, "the moon is in the wrong phase"),
        ],
    )
    def test_what_pip_says_becomes_one_sentence(
        self, setup_extension: ModuleType, tmp_path: Path, output: str, word: str
    ) -> None:
        said = setup_extension.explain(output, tmp_path / "setup.log")
        assert word in said
        assert "\n" not in said
        assert "setup.log" in said

    def test_no_network_is_said_in_one_sentence_and_noticed_next_time(
        self, setup_extension: ModuleType, project: Path, venv: Path
    ) -> None:
        nowhere = {
            "PIP_INDEX_URL": "http://127.0.0.1:9/",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_RETRIES": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", "import setup_extension as s, sys; s.NEEDED_GB = 0; sys.exit(s.main(['demo']))"],
            cwd=project,
            env={**os.environ, **nowhere, "PIP_CONFIG_FILE": os.devnull, "https_proxy": "http://127.0.0.1:9"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == 1
        assert len(sentences(done.stderr)) == 1
        assert "No network" in done.stderr
        assert setup_extension.judge(project, venv).need == "install"

    def test_a_full_disk_is_said_before_anything_is_made(
        self, setup_extension: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(setup_extension, "NEEDED_GB", 1e9)
        with pytest.raises(setup_extension.SetupError, match="disk is too full"):
            setup_extension.ensure_environment(project, "nothing")
        assert not (project / ".venv").exists()


class TestEnvironment:
    def test_none_is_made(self, setup_extension: ModuleType, project: Path) -> None:
        assert setup_extension.judge(project, project / ".venv").need == "remake"

    def test_half_of_one_is_made_anew(self, setup_extension: ModuleType, project: Path) -> None:
        (project / ".venv" / "lib").mkdir(parents=True)
        assert setup_extension.judge(project, project / ".venv")[:2] == ("remake", "it is half-made")

    def test_an_unfinished_one_is_installed_again(self, setup_extension: ModuleType, project: Path, venv: Path) -> None:
        setup_extension.write_note(venv, project, "", [])
        assert setup_extension.judge(project, venv).need == "install"

    def test_a_finished_one_is_ready(self, setup_extension: ModuleType, project: Path, finished: Path) -> None:
        assert setup_extension.judge(project, finished).need == "ready"

    def test_a_ready_one_is_used_without_pip(
        self, setup_extension: ModuleType, project: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(setup_extension, "set_up", lambda *_: pytest.fail("it was set up again"))
        assert setup_extension.ensure_environment(project, "nothing") == setup_extension.venv_python(finished)

    @pytest.mark.parametrize("name", ["pyproject.toml", "DeepImagingLib/requirements.txt"])
    def test_changed_dependencies_are_noticed(
        self, setup_extension: ModuleType, project: Path, finished: Path, name: str
    ) -> None:
        with open(project / name, "a", encoding="utf-8") as file:
            file.write("# another pin\n")
        assert setup_extension.judge(project, finished).need == "install"

    def test_a_lost_package_is_noticed(self, setup_extension: ModuleType, project: Path, venv: Path) -> None:
        setup_extension.write_note(venv, project, setup_extension.key_of(project), ["torch-2.13.0"])
        verdict = setup_extension.judge(project, venv)
        assert verdict.need == "install"
        assert "torch-2.13.0 lost" in verdict.why

    def test_a_package_without_one_of_its_files_is_noticed(
        self, setup_extension: ModuleType, project: Path, finished: Path
    ) -> None:
        site = next(finished.glob("[Ll]ib/**/site-packages"))
        broken = site / "thing-1.0.dist-info"
        broken.mkdir()
        (broken / "RECORD").write_text("thing/gone.py,,\nthing-1.0.dist-info/RECORD,,\n", encoding="utf-8")
        assert setup_extension.judge(project, finished).broken == [str(broken)]

    def test_one_without_its_interpreter_is_made_anew(
        self, setup_extension: ModuleType, project: Path, finished: Path
    ) -> None:
        setup_extension.venv_python(finished).unlink()
        assert setup_extension.judge(project, finished).need == "remake"

    def test_one_without_pip_is_made_anew(self, setup_extension: ModuleType, project: Path, finished: Path) -> None:
        shutil.rmtree(next(finished.glob("[Ll]ib/**/site-packages")) / "pip")
        assert setup_extension.judge(project, finished).need == "remake"

    def test_one_copied_along_with_its_folder_is_made_anew(
        self, setup_extension: ModuleType, project: Path, finished: Path
    ) -> None:
        copy = project.rename(project.with_name("moved"))
        assert setup_extension.judge(copy, copy / ".venv")[:2] == ("remake", "it belongs to another folder")

    def test_what_is_no_environment_is_never_deleted(self, setup_extension: ModuleType, project: Path) -> None:
        (project / ".venv").mkdir()
        (project / ".venv" / "thesis.docx").touch()
        with pytest.raises(setup_extension.SetupError, match="move it away"):
            setup_extension.remove_venv(project / ".venv")
        assert (project / ".venv" / "thesis.docx").exists()


class TestCommands:
    def test_demo_refuses_an_input_that_is_not_there(self) -> None:
        done = call("demo", "--input", "no such scan.nii.gz")
        assert done.returncode == 2
        assert sentences(done.stderr) == ["There is no no such scan.nii.gz: give --input a file or a DICOM folder."]

    @pytest.mark.parametrize("code", [0, 1, 2])
    def test_demo_runs_the_demo_with_absolute_paths_and_passes_its_exit_code_on(
        self, setup_extension: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
    ) -> None:
        calls = self.watch(setup_extension, monkeypatch, code)
        monkeypatch.chdir(tmp_path)
        Path("ä scan.nrrd").touch()
        assert setup_extension.main(["demo", "--input", "ä scan.nrrd", "--output", "out here"]) == code
        asked = ["--output", str(tmp_path / "out here"), "--input", str(tmp_path / "ä scan.nrrd")]
        assert calls == [["PYTHON", "-m", "DeepImagingLib.demo", *asked]]

    def test_demo_writes_into_demo(self, setup_extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = self.watch(setup_extension, monkeypatch, 0)
        setup_extension.main(["demo"])
        assert calls == [["PYTHON", "-m", "DeepImagingLib.demo", "--output", str(ROOT / "demo")]]

    def test_test_hands_its_arguments_to_pytest(
        self, setup_extension: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = self.watch(setup_extension, monkeypatch, 5)
        assert setup_extension.main(["test", "-m", "slow", "--help"]) == 5
        assert calls[0][:3] == ["PYTHON", "-m", "pytest"]
        assert calls[0][-3:] == ["-m", "slow", "--help"]

    def test_ctrl_c_is_said_in_one_sentence(
        self, setup_extension: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(setup_extension, "ensure_environment", interrupt)
        assert setup_extension.main(["demo"]) == 130
        assert len(sentences(capsys.readouterr().err)) == 1

    def watch(self, setup_extension: ModuleType, monkeypatch: pytest.MonkeyPatch, code: int) -> list[list[str]]:
        """Record what would be run, and answer it with an exit code."""
        calls: list[list[str]] = []
        monkeypatch.setattr(setup_extension, "ensure_environment", lambda root, purpose: Path("PYTHON"))
        monkeypatch.setattr(setup_extension.subprocess, "call", lambda command, **_: calls.append(command) or code)
        return calls


class TestProgress:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("Collecting torch==2.13.0 (from x)", ("finding torch", False)),
            ("  Downloading vtk-9.6.2-cp311-none-any.whl (146.0 MB)", ("downloading vtk-9.6.2 (146.0 MB)", True)),
            ("  Downloading https://x/y/six-1.0-py3-none-any.whl (11 kB)", ("downloading six-1.0 (11 kB)", False)),
            ("  Downloading vtk-9.6.2-cp311-none-any.whl.metadata (5.5 kB)", None),
            ("Progress 50000000 of 200000000", ("downloading: 25 % of 200 MB", False)),
            ("Installing collected packages: a, b, c", ("unpacking 3 packages", True)),
            ("Looking in links: somewhere", None),
        ],
    )
    def test_pips_lines_become_a_few_words(
        self, setup_extension: ModuleType, line: str, said: tuple[str, bool] | None
    ) -> None:
        assert setup_extension.activity(line) == said


class TestPackage:
    def test_holds_all_of_the_library_the_bundles_and_the_licence(self, tree: Path) -> None:
        for name in ("DeepImagingLib", "Resources/Bundles"):
            sources = {path.relative_to(ROOT) for path in (ROOT / name).rglob("*") if path.is_file()}
            expected = {path for path in sources if path.suffix != ".pyc" and not path.name.startswith(".")}
            assert expected
            assert expected <= {path.relative_to(tree) for path in tree.rglob("*")}
        assert (tree / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()

    def test_holds_no_caches_and_no_tests(self, tree: Path) -> None:
        parts = {part for path in tree.rglob("*") for part in path.relative_to(tree).parts}
        assert not parts & {"__pycache__", "Testing", ".git", ".venv"}

    def test_the_library_is_found_in_it_and_finds_its_resources(self, tree: Path) -> None:
        program = (
            "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import DeepImagingLib as d, DeepImagingLib.errors;"
            "print((pathlib.Path(d.__file__).parents[1] / 'Resources' / 'Bundles').is_dir(), d.__file__)"
        )
        command = [sys.executable, "-I", "-X", "utf8", "-c", program, str(tree)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=True)
        assert done.stdout.split(" ", 1) == ["True", str(tree / "DeepImagingLib" / "__init__.py") + "\n"]

    def test_a_folder_that_holds_something_is_left_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        done = call("package", tmp_path)
        assert done.returncode == 2
        assert len(sentences(done.stderr)) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_modules_lie_flat_and_share_their_resources(self, setup_extension: ModuleType, project: Path) -> None:
        self.write(project, "DeepImagingLib/requirements.txt", "LICENSE")
        self.write(project, "DeepImaging/Segment/Segment.py", "DeepImaging/Segment/Resources/UI/Segment.ui")
        self.write(project, "DeepImaging/Train/Train.py", "DeepImaging/Train/Resources/Icons/Train.png")
        self.write(project, "DeepImaging/DeepImagingWidgets/__init__.py", "DeepImaging/Train/Testing/test_train.py")
        assert sorted(setup_extension.installed_files(project)) == [
            "DeepImagingLib/requirements.txt",
            "DeepImagingWidgets/__init__.py",
            "LICENSE",
            "Resources/Icons/Train.png",
            "Resources/UI/Segment.ui",
            "Segment.py",
            "Train.py",
        ]

    def test_two_modules_with_one_file_name_are_refused(self, setup_extension: ModuleType, project: Path) -> None:
        self.write(project, "DeepImaging/Segment/Resources/UI/Panel.ui", "DeepImaging/Train/Resources/UI/Panel.ui")
        with pytest.raises(setup_extension.SetupError, match="rename one"):
            setup_extension.installed_files(project)

    def write(self, root: Path, *names: str) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()

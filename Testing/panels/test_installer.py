"""What is installed into Slicer: said before, never what Slicer brings, checked, and repaired.

Slicer's and PyTorchUtils' calls are stand-ins here, since neither can be had outside Slicer; pip is the real one,
with small wheels made on the spot, into an environment of its own.
"""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytest.importorskip("slicer", reason="the installer is part of the panels, which need slicer-core")

pytest.importorskip("PySide6", reason="panels need PySide6")

from Testing.panels.standins import install

install()
from DeepImagingPanel import install_section, requirements
from DeepImagingPanel import installer as installing
from DeepImagingPanel.installer import Installer, InstallError, offlineCommand
from DeepImagingPanel.requirements import NEVER, Needed, missing, needed

ROOT = Path(__file__).resolve().parents[2]
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
PROXY = "WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.')': /monai/"
OFFLINE = "ERROR: Could not find a version that satisfies the requirement monai==1.6.1 (from versions: none)"
STRANGE = "Collecting monai\n  error: the moon is in the wrong phase\nnote: this is not pip's fault"


@dataclass
class FakeSlicer:
    """Slicer's part of an installation: records what it is asked for, and lets `run` do it."""

    run: Callable[[list[str]], None] = lambda arguments: None
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    torch: Callable[..., object] = lambda **_: "torch"
    events: int = 0

    def pip_install(self, arguments: list[str]) -> None:
        self.note("pip_install", arguments, arguments[arguments.index("-c") + 1])

    def pip_ensure(self, asked: list[str], *, constraints: str, prompt_install: bool, requester: str) -> None:
        assert not prompt_install and requester == "DeepImaging"
        self.note("pip_ensure", asked, constraints)

    def note(self, call: str, arguments: list[str], constraints: str) -> None:
        self.calls.append((call, list(arguments)))
        self.constraints.append(Path(constraints).read_text(encoding="utf-8"))
        self.run(list(arguments))

    def PyTorchUtilsLogic(self) -> SimpleNamespace:
        def installTorch(askConfirmation: bool, torchVersionRequirement: str) -> object:
            assert askConfirmation
            self.calls.append(("installTorch", [torchVersionRequirement]))
            return self.torch()

        return SimpleNamespace(
            installTorch=installTorch, uninstallTorch=lambda: self.calls.append(("uninstallTorch", []))
        )

    def processEvents(self) -> None:
        self.events += 1

    def translate(self, context: str, text: str, *_: object) -> str:
        """Asked by Slicer's own `tr`, where that is used."""
        return text


Put = Callable[..., FakeSlicer]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put a Slicer in place: 5.11 with `slicer.packaging`, or 5.10; with or without the extension PyTorch."""

    def put(*, packaging: bool = True, pytorch: bool = True, **parts: Any) -> FakeSlicer:
        fake = FakeSlicer(**parts)
        slicer = ModuleType("slicer")
        slicer.app = fake  # type: ignore[attr-defined]
        slicer.util = SimpleNamespace(pip_install=fake.pip_install)  # type: ignore[attr-defined]
        packaged = SimpleNamespace(pip_ensure=fake.pip_ensure)
        slicer.packaging = packaged  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "slicer", slicer)
        monkeypatch.setitem(sys.modules, "slicer.packaging", packaged if packaging else None)  # type: ignore[arg-type]
        monkeypatch.setitem(sys.modules, "PyTorchUtils", fake if pytorch else None)  # type: ignore[arg-type]
        monkeypatch.setattr(installing, "slicer", slicer)
        return fake

    return put


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed, as far as can be told."""
    monkeypatch.setattr(Needed, "isFound", lambda self: False)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny packages."""
    folder = tmp_path_factory.mktemp("a folder with ümlaut")
    for name in ("dimg_tiny_one", "dimg_tiny_two"):
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "VALUE = 1\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            record = [f"{name}/__init__.py,,", f"{info}/METADATA,,", f"{info}/WHEEL,,", f"{info}/RECORD,,"]
            wheel.writestr(f"{info}/RECORD", "\n".join(record) + "\n")
    return folder


def names(arguments: list[str]) -> set[str]:
    """The packages among pip's arguments."""
    found, options = set(), iter(arguments)
    for argument in options:
        if argument in ("-c", "--find-links"):
            next(options)
        elif not argument.startswith("-"):
            found.add(canonicalize_name(Requirement(argument).name))
    return found


class TestTheList:
    def test_holds_all_that_the_library_imports_and_slicer_lacks(self) -> None:
        nodes = [n for p in (ROOT / "DeepImagingLib").rglob("*.py") for n in ast.walk(ast.parse(p.read_text("utf-8")))]
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        tops = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
        brought = {"DeepImagingLib", "slicer", "vtk", "vtkmodules", "vtkAddon", "numpy", "SimpleITK"}
        brought |= {"torchvision"}  # by PyTorchUtils, with its torch
        assert {top for top in tops - brought if not top.startswith(("vtk", "mrml", "MRML"))} <= {
            one.module for one in needed()
        }

    def test_each_has_a_version_and_a_size(self) -> None:
        assert all(one.versions and one.most >= one.least > 0 for one in needed())

    def test_einops_and_scikit_image_are_in_it_and_torch_comes_first(self) -> None:
        listed = [one.name for one in needed()]
        assert listed[0] == "torch"
        assert {"einops", "scikit-image", "monai"} <= set(listed)

    def test_nothing_in_it_must_never_be_installed(self) -> None:
        assert not {canonicalize_name(one.name) for one in needed()} & {canonicalize_name(name) for name in NEVER}

    def test_is_the_very_list_of_the_package(self) -> None:
        told = (ROOT / "pyproject.toml").read_text("utf-8")
        assert 'dependencies = { file = ["DeepImagingLib/requirements.txt"] }' in told

    def test_all_that_is_found_is_not_missing(self) -> None:
        assert missing() == []

    def test_a_version_out_of_range_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requirements, "installed", lambda name: "0.0.1")
        assert missing() == [one.asked for one in needed()]

    def test_a_build_for_one_gpu_is_in_range(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requirements, "installed", lambda name: "2.13.0+cu130" if name == "torch" else None)
        assert not any(asked.startswith("torch") for asked in missing())

    def test_looking_for_it_imports_neither_torch_nor_pytorchutils(self) -> None:
        program = (
            "import sys; sys.path[:0] = sys.argv[1:]; from DeepImagingPanel.requirements import missing; missing();"
            "print([name for name in ('torch', 'monai', 'PyTorchUtils', 'slicer') if name in sys.modules])"
        )
        command = [sys.executable, "-c", program, str(ROOT), str(ROOT / "DeepImaging")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        assert done.stdout.strip() == "[]"


class TestWhatIsPassedOn:
    @pytest.mark.parametrize("packaging", [True, False])
    @pytest.mark.parametrize("folder", [None, "wheels"])
    def test_is_never_what_slicer_brings(self, put: Put, bare: None, packaging: bool, folder: str | None) -> None:
        slicer = put(packaging=packaging)
        with pytest.raises(InstallError, match="left torch"):
            Installer().install(lambda line: None, from_folder=folder)
        asked = [names(arguments) for call, arguments in slicer.calls if call.startswith("pip")]
        passed = set().union(*asked)
        assert not passed & {canonicalize_name(name) for name in NEVER}
        assert ("torch" in passed) == (folder is not None)  # never from an index but through PyTorchUtils
        assert passed | {"torch"} == {canonicalize_name(one.name) for one in needed()}

    def test_goes_with_constraints_that_keep_pip_from_it_too(self, put: Put, bare: None) -> None:
        slicer = put()
        with pytest.raises(InstallError):
            Installer().install(lambda line: None)
        held = {Requirement(line).name: str(Requirement(line).specifier) for line in slicer.constraints[0].split("\n")}
        assert set(held) == {*NEVER, "torch"}
        assert held["numpy"] == f"=={requirements.installed('numpy')}"
        assert held["torch"] == f"=={requirements.installed('torch')}"
        assert held["torchvision"] == "<0" or requirements.installed("torchvision")

    def test_torch_is_asked_of_pytorchutils_first_with_its_versions(self, put: Put, bare: None) -> None:
        slicer = put()
        with pytest.raises(InstallError):
            Installer().install(lambda line: None)
        assert slicer.calls[0] == ("installTorch", ["<3,>=2.8"])

    @pytest.mark.parametrize(("packaging", "call"), [(True, "pip_ensure"), (False, "pip_install")])
    def test_goes_the_way_that_this_slicer_has(self, put: Put, bare: None, packaging: bool, call: str) -> None:
        slicer = put(packaging=packaging)
        with pytest.raises(InstallError):
            Installer().install(lambda line: None)
        assert slicer.calls[1][0] == call


class TestNothingToDo:
    def test_nothing_is_asked_and_pytorchutils_stays_outside(self, put: Put) -> None:
        slicer = put(pytorch=False)
        assert not Installer().plan()
        Installer().install(lambda line: None)
        assert slicer.calls == []
        assert slicer.events > 0  # Slicer went on while it was looked at more closely


class TestPlan:
    def test_says_what_and_how_much_before(self, put: Put, bare: None) -> None:
        put()
        plan = Installer().plan()
        assert plan
        assert plan.size == "202 to 3092 MB"
        assert plan.lines()[1].startswith("monai==1.6.1, about 1.7 MB (")

    def test_says_which_other_version_is_there(self, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
        put()
        for module in (requirements, installing):
            monkeypatch.setattr(module, "installed", lambda name: "0.0.1")
        assert Installer().plan().lines()[1].endswith("(0.0.1 is installed)")

    def test_the_offline_command_names_all_that_is_needed(self) -> None:
        assert all(f'"{one.asked}"' in offlineCommand() for one in needed())


class TestTroubles:
    @pytest.mark.parametrize(
        ("said", "word"),
        [(FULL, "disk is full"), (PROXY, "HTTPS_PROXY"), (OFFLINE, "finds no monai"), (STRANGE, "moon")],
    )
    def test_what_pip_says_becomes_one_sentence(self, put: Put, bare: None, said: str, word: str) -> None:
        def fail(arguments: list[str]) -> None:
            print(said)  # noqa: T201 – as Slicer does with each line of pip's
            raise subprocess.CalledProcessError(1, "pip install")

        put(run=fail)
        log: list[str] = []
        with pytest.raises(InstallError, match=word) as raised:
            Installer().install(log.append)
        assert "\n" not in str(raised.value)
        assert log == said.split("\n")

    def test_without_the_pytorch_extension_its_place_is_named(self, put: Put, bare: None) -> None:
        slicer = put(pytorch=False)
        with pytest.raises(InstallError, match="Extensions Manager"):
            Installer().install(lambda line: None)
        assert slicer.calls == []

    def test_a_declined_torch_stops_the_rest(self, put: Put, bare: None) -> None:
        slicer = put(torch=lambda **_: None)
        with pytest.raises(InstallError, match="declined"):
            Installer().install(lambda line: None)
        assert [call for call, _ in slicer.calls] == ["installTorch"]


class TestWords:
    def test_whatever_the_user_reads_can_be_translated(self, put: Put, bare: None, monkeypatch: Any) -> None:
        put()
        monkeypatch.setattr(installing, "_", lambda text: f"*{text}")
        plan = installing.Plan((installing.Item(needed()[0], installing.DAMAGED),))
        assert plan.size.startswith("*") and plan.lines()[0].endswith("(*damaged)")
        assert all("(*" in line for line in Installer().plan().lines())
        for said, folder in [*((one, None) for one in (FULL, PROXY, OFFLINE, STRANGE, "")), (OFFLINE, "wheels")]:
            sentence = installing._sentence(said, folder)
            assert sentence.startswith("*") and "*then install again" in sentence and "{" not in sentence
        with pytest.raises(InstallError, match=r"^\*The installation ended"):
            Installer().install(lambda line: None)


class TestCheck:
    def test_nothing_else_can_be_begun_while_it_goes_on(self, application: Any, monkeypatch: Any) -> None:
        from slicer.util import childWidgetVariables, loadUI

        panel = loadUI(str(Path(install_section.__file__).parent / "UI" / "panel.ui"))
        ui = childWidgetVariables(panel)
        buttons = (ui.installButton, ui.installFolderButton, ui.checkInstallationButton)
        section = install_section.InstallSection(ui, lambda: None)
        seen: list[list[bool]] = []

        def look(self: Installer, look_closer: bool = False) -> installing.Plan:
            seen.append([button.enabled for button in buttons])
            return installing.Plan(())

        monkeypatch.setattr(Installer, "plan", look)
        section.check()
        section._install(None)
        assert len(seen) > 1 and not any(map(any, seen))
        assert all(button.enabled for button in buttons)


class TestDamagedTorch:
    def test_is_removed_and_installed_by_pytorchutils_and_nothing_else_is(
        self, put: Put, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = [f"whole {one.module}" for one in needed()]
        slicer = put()
        verdicts = iter([["damaged torch", "damaged monai", *whole[2:]], whole])
        monkeypatch.setattr(installing, "_imported", lambda asked: next(verdicts))
        Installer().install(lambda line: None)
        assert [call for call, _ in slicer.calls] == ["uninstallTorch", "installTorch"]


class TestWithRealPip:
    """Two tiny packages, a real environment: missing, broken, and taken from a folder."""

    @pytest.fixture
    def slicer(self, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlicer:
        """A Slicer whose Python is a fresh environment, and whose pip is this one's."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
        python = next(p for p in (tmp_path / "venv").glob("*/python*") if p.stem == "python")
        site = next((tmp_path / "venv").glob("[Ll]ib/**/site-packages"))
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setattr(installing, "interpreter", lambda: str(python))
        tiny = [Needed(name, f"{name}>=1", 0.1, 0.1) for name in ("dimg_tiny_one", "dimg_tiny_two")]
        monkeypatch.setattr(installing, "needed", lambda: tiny)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

        def pip(arguments: list[str]) -> None:
            command = [sys.executable, "-m", "pip", "--python", str(python), "install", *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            print(done.stdout)  # noqa: T201 – as Slicer does with each line of pip's
            if done.returncode:
                raise subprocess.CalledProcessError(done.returncode, command)

        fake = put(run=pip, packaging=False)
        fake.site = site  # type: ignore[attr-defined]
        return fake

    def test_what_is_missing_comes_from_a_folder_and_works(self, slicer: FakeSlicer, wheels: Path) -> None:
        log: list[str] = []
        assert len(Installer().plan().items) == 2
        Installer().install(log.append, from_folder=wheels)
        assert not Installer().plan(look_closer=True)
        assert any("dimg_tiny_one" in line for line in log)

    def test_half_of_an_installation_is_repaired_and_the_rest_left_alone(
        self, slicer: FakeSlicer, wheels: Path
    ) -> None:
        Installer().install(lambda line: None, from_folder=wheels)
        slicer.calls.clear()
        (slicer.site / "dimg_tiny_two" / "__init__.py").write_text("import no_such_thing\n")  # type: ignore[attr-defined]
        assert not Installer().plan()
        assert [item.package.name for item in Installer().plan(look_closer=True).items] == ["dimg_tiny_two"]
        Installer().install(lambda line: None, from_folder=wheels)
        assert [sorted(names(arguments)) for _, arguments in slicer.calls] == [["dimg-tiny-two"]]
        assert not Installer().plan(look_closer=True)

    def test_what_takes_the_interpreter_down_is_found(self, slicer: FakeSlicer, wheels: Path) -> None:
        Installer().install(lambda line: None, from_folder=wheels)
        program = "import os\nos._exit(3)\n"
        (slicer.site / "dimg_tiny_one" / "__init__.py").write_text(program)  # type: ignore[attr-defined]
        assert [item.package.name for item in Installer().plan(look_closer=True).items] == ["dimg_tiny_one"]

    def test_a_folder_without_one_is_said_and_a_second_call_goes_on(
        self, slicer: FakeSlicer, wheels: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "few").mkdir()
        with pytest.raises(InstallError, match="has no wheel of dimg_tiny_one"):
            Installer().install(lambda line: None, from_folder=tmp_path / "few")
        Installer().install(lambda line: None, from_folder=wheels)
        assert not Installer().plan(look_closer=True)

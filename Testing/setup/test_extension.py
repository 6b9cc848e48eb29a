"""The extension as Slicer builds, installs and lists it; Slicer's own macros and index are stand-ins of ours here."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).parent / "slicer_stand_in"
MODULES = sorted(
    folder for folder in (ROOT / "DeepImaging").iterdir() if folder.is_dir() and (folder / "CMakeLists.txt").exists()
)
IMPORTS = """
import sys
sys.path.insert(0, sys.argv[1])
exec(sys.argv[2], {"__file__": sys.argv[3]})
import pathlib, DeepImagingLib, DeepImagingPanel
bundles = pathlib.Path(DeepImagingLib.__file__).parents[1] / "Resources" / "Bundles"
print(DeepImagingLib.__file__, DeepImagingPanel.__file__, bundles.is_dir(), sep="\\n")
"""
SLICERS_SCHEMA = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "scm_revision": str,
    "scm_url": str,
    "tier": int,
}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the extension that was configured, in a folder with a space in its name."""
    if not shutil.which("cmake") or not shutil.which("c++"):
        pytest.skip("CMake and a compiler are needed to configure the extension, and are not here")
    folder = tmp_path_factory.mktemp("extension") / "the build"
    options = [f"-DSlicer_DIR={STAND_IN}", "-DBUILD_TESTING=ON", f"-DCMAKE_INSTALL_PREFIX={folder / 'installed'}"]
    cmake("-S", ROOT, "-B", folder, *options)
    return folder


@pytest.fixture(scope="module")
def tree(build: Path) -> Path:
    """The folder of module files that it installs."""
    cmake("--build", build, "--target", "install")
    return build / "installed" / "lib" / "Slicer-0.0" / "qt-scripted-modules"


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What CMakeLists.txt says of the extension, in literal lines as the index reads them."""
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"$]+)"\)$', (ROOT / "CMakeLists.txt").read_text("utf-8"), re.M))


@pytest.fixture(scope="module")
def entry() -> dict[str, object]:
    """The catalogue entry."""
    return dict(json.loads((ROOT / "DeepImaging.json").read_text(encoding="utf-8")))


def cmake(*arguments: object) -> None:
    done = subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """Map each file's name in a folder to what it holds."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fallback(module: Path) -> str:
    """What a module file does before it imports anything of Slicer's or ours: by it, it finds what modules share."""
    statements = [ast.unparse(node) for node in ast.parse(module.read_text(encoding="utf-8")).body]
    slicers = next(n for n, line in enumerate(statements) if line in ("import qt", "import slicer"))
    return "\n".join(statements[1:slicers])


def imported(folder: Path, module: Path) -> list[str]:
    """Import what the modules share in a fresh interpreter that has nothing but the module's folder on its path."""
    command = [
        sys.executable,
        "-I",
        "-S",
        "-B",
        "-X",
        "utf8",
        "-c",
        IMPORTS,
        str(folder),
        fallback(module),
        str(module),
    ]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class TestInstalled:
    def test_is_the_very_tree_of_the_package_command(self, tree: Path, tmp_path: Path) -> None:
        packaged = tmp_path / "packaged"
        subprocess.run([sys.executable, str(ROOT / "setup_extension.py"), "package", str(packaged)], check=True)
        assert contents(tree) == contents(packaged)

    @pytest.mark.parametrize("module", MODULES, ids=lambda folder: folder.name)
    def test_a_module_finds_what_the_modules_share(self, tree: Path, module: Path) -> None:
        library, panel, bundles = imported(tree, tree / f"{module.name}.py")
        assert Path(library).parents[1] == Path(panel).parents[1] == tree
        assert bundles == "True"

    def test_every_file_that_slicer_takes_for_a_module_is_one(self, tree: Path) -> None:
        files = sorted(tree.glob("*.py"))
        assert [file.stem for file in files] == [folder.name for folder in MODULES]
        for file in files:
            classes = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
            bases = {node.name: [ast.unparse(base) for base in node.bases] for node in classes}
            assert {"ScriptedLoadableModule", "PanelModule"} & set(bases[file.stem])

    def test_each_module_is_tested_by_slicer(self, build: Path) -> None:
        tests = "".join(file.read_text("utf-8") for file in build.rglob("CTestTestfile.cmake"))
        assert all(f"py_{folder.name}.py" in tests for folder in MODULES)


class TestSourceTree:
    @pytest.mark.parametrize("module", MODULES, ids=lambda folder: folder.name)
    def test_a_module_finds_what_the_modules_share(self, module: Path) -> None:
        library, panel, bundles = imported(module, module / f"{module.name}.py")
        assert Path(library).parents[1] == ROOT
        assert Path(panel).parents[1] == ROOT / "DeepImaging"
        assert bundles == "True"

    def test_no_two_modules_have_a_resource_of_one_name(self) -> None:
        names = [
            path.relative_to(module).as_posix().casefold()
            for module in MODULES
            for path in (module / "Resources").rglob("*")
            if path.is_file()
        ]
        assert names
        assert len(names) == len(set(names))

    def test_no_folder_that_is_scanned_holds_a_file_that_is_no_module(self) -> None:
        assert [path.name for folder in MODULES for path in folder.glob("*.py") if path.stem != folder.name] == []


class TestDescription:
    def test_the_entry_has_slicers_fields_and_lines_of_unix(self, entry: dict[str, object]) -> None:
        assert {name: type(value) for name, value in entry.items()} == SLICERS_SCHEMA
        assert "/Schemas/slicer-extension-catalog-entry-schema-v1.0." in str(entry["$schema"])
        assert entry["tier"] in range(1, 6)
        text = (ROOT / "DeepImaging.json").read_bytes()
        assert b"\r" not in text and text.endswith(b"}\n")

    def test_the_entry_the_project_and_the_description_agree(
        self, entry: dict[str, object], said: dict[str, str]
    ) -> None:
        assert "\nproject(DeepImaging)\n" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        assert entry["scm_url"] == said["HOMEPAGE"]
        assert str(entry["scm_url"]).endswith("/SlicerDeepImaging")
        assert entry["category"] == said["CATEGORY"] == "Segmentation"
        assert entry["build_dependencies"] == said["DEPENDS"].split(";") == ["PyTorch"]

    def test_pictures_are_literal_addresses_of_files_that_are_here(self, said: dict[str, str]) -> None:
        base = said["HOMEPAGE"].replace("github.com", "raw.githubusercontent.com") + "/main/"
        for address in (said["ICONURL"], *said["SCREENSHOTURLS"].split()):
            assert address.startswith(base)
            assert (ROOT / address[len(base) :]).is_file()

    def test_the_licence_lies_in_the_root(self) -> None:
        assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")

"""Who may import whom, and how little comes in with the library's name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "monai",
    "numpy",
    "scipy",
    "matplotlib",
    "SimpleITK",
    "vtk",
    "slicer",
    "pydicom",
    "nibabel",
)


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter in the repository's root."""
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_imports_point_down_never_up() -> None:
    done = python("import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_library_brings_in_nothing_heavy() -> None:
    done = python(f"import sys, DeepImagingLib; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr

"""What the tests of bundles share: one written bundle to read, one to change, and an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.bundles.make_bundles import write_spleen_like


@pytest.fixture(scope="session")
def spleen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spleen-like bundle that no test may change."""
    return write_spleen_like(tmp_path_factory.mktemp("bundles") / "spleen_like")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A spleen-like bundle of a test's own."""
    return write_spleen_like(tmp_path / "bundle")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that exists only if hostile code has run."""
    return tmp_path / "canary"

"""Small jobs beside the runs that would hold up a window: making a phantom, copying a model in, reading one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from DeepImagingLib.inference.progress import Progress

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.files import Voxels
    from DeepImagingLib.hosts.job import Context

FIELD_OF_VIEW_MM = (420.0, 320.0, 420.0)
UNSEEN = 1_000_900
"""Seed of phantoms that no shipped model was trained or chosen on."""


@dataclass(frozen=True)
class MakePhantom:
    """Make a torso CT whose anatomy is drawn at random; it needs neither torch nor MONAI.

    Attributes:
        seed: The same for the same torso; no shipped model was trained on this one.
        spacing: Millimetres along right, anterior and superior.
    """

    seed: int = 1_000_000
    spacing: tuple[float, float, float] = (3.0, 3.0, 3.0)

    def perform(self, context: Context) -> Voxels:
        """Make it; raises InputError where the spacing can't be used."""
        import numpy as np

        from DeepImagingLib.files import Voxels
        from DeepImagingLib.phantoms import hounsfield, torso_ct

        context.progress(Progress("Making a scan", 0.0))
        materials, _, affine = torso_ct.draw(self.seed, self.spacing, FIELD_OF_VIEW_MM)
        values = hounsfield.render(materials, self.spacing, np.random.default_rng([self.seed, 1]))
        return Voxels(np.ascontiguousarray(np.rint(values).astype(np.int16).transpose(2, 1, 0)), affine)


@dataclass(frozen=True)
class MakeChest:
    """Make a part of a chest's CT with nodules in the lungs.

    Attributes:
        seed: The same for the same chest.
    """

    seed: int = UNSEEN

    def perform(self, context: Context) -> Voxels:
        """Make it."""
        from DeepImagingLib.phantoms import lung_nodules

        context.progress(Progress("Making a scan", 0.0))
        return _whole_numbers(lung_nodules.sample(self.seed)[0]["ct"])


@dataclass(frozen=True)
class MakeRadiograph:
    """Make a chest radiograph, air dark.

    Attributes:
        seed: The same for the same radiograph.
        findings: Names of `phantoms.xray_findings.Finding` to put in.
    """

    seed: int = UNSEEN
    findings: tuple[str, ...] = ()

    def perform(self, context: Context) -> Voxels:
        """Make it; raises InputError where a finding is unknown."""
        from DeepImagingLib.phantoms import chest_xray

        context.progress(Progress("Making a radiograph", 0.0))
        images, _ = chest_xray.sample(self.seed, findings=self.findings, photometric="MONOCHROME2")
        return _whole_numbers(images["cxr"])


def _whole_numbers(image: MetaTensor) -> Voxels:
    """Return the one channel of an image as a scanner would store it."""
    import numpy as np

    from DeepImagingLib.files import Voxels

    values = np.atleast_3d(np.rint(image.numpy()[0])).astype(np.int16)
    return Voxels(np.ascontiguousarray(values.transpose(2, 1, 0)), np.asarray(image.affine, float))


@dataclass(frozen=True)
class AddModel:
    """Copy a model into the user's model folder: some are gigabytes.

    Attributes:
        source: Its folder or zip archive.
    """

    source: Path

    def perform(self, context: Context) -> Path:
        """Copy it, unless that is cancelled, and return its new folder; raises as `add_bundle` does."""
        from DeepImagingLib.bundles.add import add_bundle

        context.progress(Progress("Adding the model", 0.0))
        return add_bundle(self.source, cancel=context.cancel)


@dataclass(frozen=True)
class ExportModel:
    """Write a model as a zip archive.

    Attributes:
        source: Its folder.
        path: The archive.
    """

    source: Path
    path: Path

    def perform(self, context: Context) -> Path:
        """Write it and return it; raises as `pack_bundle` does."""
        from DeepImagingLib.bundles.pack import pack_bundle

        context.progress(Progress("Writing the model", 0.0))
        return pack_bundle(self.source, self.path)


@dataclass(frozen=True)
class Fingerprint:
    """Read a whole model for what a user trusts of it.

    Attributes:
        path: Its folder.
    """

    path: Path

    def perform(self, context: Context) -> str:
        """Return the SHA-256 of its content; raises as `fingerprint` does."""
        from DeepImagingLib.bundles.fingerprint import fingerprint

        context.progress(Progress("Reading the model", 0.0))
        return fingerprint(self.path)

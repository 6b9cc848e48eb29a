"""MONAI's own way of running a bundle on files: its config workflow, evaluator and SaveImaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow


def stock_workflow(bundle: Path, images: Sequence[Path], output: Path, **overrides: Any) -> ConfigWorkflow:
    """Return the bundle's own workflow for one study on the CPU, neither initialized nor run; see `run_stock`."""
    from monai.bundle import ConfigWorkflow

    data = str(images[0]) if len(images) == 1 else [str(image) for image in images]
    settings = {"bundle_root": str(bundle), "device": "$torch.device('cpu')", "output_dir": str(output)}
    return ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        **{**settings, "dataset#data": [{"image": data}], **overrides},
    )


def run_stock(bundle: Path, images: Sequence[Path], output: Path, **overrides: Any) -> np.ndarray:
    """Return (I, J, K) or (I, J, K, C), what the bundle's own workflow saves for one study.

    Args:
        bundle: Its folder.
        images: The files of the study; several are stacked as channels by LoadImaged.
        output: An empty folder.
        overrides: Config ids to set to other values, "#" between the parts.
    """
    workflow = stock_workflow(bundle, images, output, **overrides)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    (saved,) = output.rglob("*.nii.gz")
    return np.asarray(nibabel.load(saved).dataobj)

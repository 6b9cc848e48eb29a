"""MONAI's own way of running a bundle on files: its config workflow, evaluator and SaveImaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np


def run_stock(bundle: Path, images: Sequence[Path], output: Path, **overrides: Any) -> np.ndarray:
    """Return (I, J, K) or (I, J, K, C), what the bundle's own workflow saves for one study.

    Args:
        bundle: Its folder.
        images: The files of the study; several are stacked as channels by LoadImaged.
        output: An empty folder.
        overrides: Config ids to set to other values, "#" between the parts.
    """
    from monai.bundle import ConfigWorkflow

    data = str(images[0]) if len(images) == 1 else [str(image) for image in images]
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(bundle),
        device="$torch.device('cpu')",
        output_dir=str(output),
        **{"dataset#data": [{"image": data}], **overrides},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    (saved,) = output.rglob("*.nii.gz")
    return np.asarray(nibabel.load(saved).dataobj)

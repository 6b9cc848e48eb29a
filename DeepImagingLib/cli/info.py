"""`info`: versions, device and folders."""

from __future__ import annotations

import argparse
import os

from DeepImagingLib import __version__
from DeepImagingLib.cli.console import Interrupt, print_table


def add_info(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=show_info)


def show_info(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Print versions, device and folders."""
    import platform
    from importlib import metadata

    import torch

    from DeepImagingLib.bundles import find
    from DeepImagingLib.inference.device import choose_device
    from DeepImagingLib.scene import available

    libraries = ("torch", "monai", "numpy", "SimpleITK", "nibabel", "pydicom", "slicer-core")
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    device = choose_device("auto")
    told = {
        "DeepImaging": __version__,
        "Python": platform.python_version(),
        **{name: installed.get(name.lower(), "not installed") for name in libraries},
        "device": f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device),
        "cores": os.cpu_count(),
        "Slicer scene": "yes" if available() else "no",
        "shipped models": str(find.shipped_model_folder()),
        "your models": str(find.user_model_folder()),
    }
    print_table(told, parsed.json)
    return 0

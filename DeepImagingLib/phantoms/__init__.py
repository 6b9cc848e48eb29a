"""Procedurally made anatomy with known truth: random bodies drawn from named organs, and images of them.

No patient data lives here, and nothing that learns from the phantoms (that is `training/`).
"""

from __future__ import annotations

from DeepImagingLib.phantoms import chest_xray, contour_torso, torso_ct

__all__ = ["chest_xray", "contour_torso", "torso_ct"]

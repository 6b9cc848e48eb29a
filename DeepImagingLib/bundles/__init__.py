"""What can be run: finds MONAI bundles, reads them, judges what their configs ask for, and builds what is allowed.

Here live reading (`source`), the judge (`judge`, `allowed`, `expressions`), what is adapted on the way (`repairs`),
and building the pieces of a run (`build`, `weights`). Loading images, running windows and the meaning of an output
live elsewhere. Nothing here imports torch or monai before `Bundle.build` is called.

A bundle is laid out as in https://docs.monai.io/en/stable/mb_specification.html.
"""

from DeepImagingLib.bundles.build import Pipeline
from DeepImagingLib.bundles.bundle import Bundle, load_bundle
from DeepImagingLib.bundles.find import find_bundle, list_bundles, user_model_folder

__all__ = ["Bundle", "Pipeline", "find_bundle", "list_bundles", "load_bundle", "user_model_folder"]

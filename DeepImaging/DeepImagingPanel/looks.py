"""What an image should look like for a model, in words."""

from __future__ import annotations

from slicer.i18n import tr as _

from DeepImagingLib.bundles.card import entries
from DeepImagingLib.bundles.find import METADATA
from DeepImagingLib.bundles.metadata import printable
from DeepImagingLib.bundles.source import read_source
from DeepImagingLib.errors import BundleError

LOOKS_LIKE = "looks_like"
"""Key of the metadata, such as "a chest X-ray". No key of MONAI's."""


def sentence(model: str) -> str:
    """Return that an image doesn't look like what a model knows; the model need not be there any more."""
    words = _lookedFor(model)
    if not words:
        return _("This does not look like what the model was trained on. Its probabilities mean little.")
    return _("This does not look like {words}. The probabilities mean little.").format(words=words)


def _lookedFor(model: str) -> str:
    path = next((entry.path for entry in entries() if entry.name == model), None)
    try:
        return printable(read_source(path / METADATA, path).config.get(LOOKS_LIKE, "")) if path is not None else ""
    except BundleError:
        return ""

"""A bundle that the user trusts by its hash is built by MONAI's own ConfigParser, its imports and scripts included."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    import torch


class TrustedBuilder:
    """Makes the values of a config as stock MONAI does; only for content whose hash the user has given."""

    def __init__(self, config: Mapping[str, Any], folder: str, device: torch.device | str) -> None:
        from monai.bundle import ConfigParser

        self._folder = Path(folder)
        self._parser = ConfigParser({**deepcopy(dict(config)), "bundle_root": folder, "device": device})

    def get(self, ident: str) -> Any:
        """Return the value of `ident`; raises BundleError where MONAI can't make it."""
        try:
            with bundle_modules(self._folder):
                return self._parser.get_parsed_content(ident)
        except Exception as error:
            cause = error.__cause__ or error
            reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
            raise BundleError(f"MONAI can't make `{ident}` of the trusted bundle: {reason}") from error


@contextmanager
def bundle_modules(folder: Path) -> Iterator[None]:
    """Let a bundle's modules be imported for a while, without reading or leaving byte code in its folder.

    The hash covers sources, not Python's cache beside them, so that cache has to stay out of it.
    """
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "scripts" and not _lies_in(module, folder):
            del sys.modules[name]
    prefix = sys.pycache_prefix
    sys.path.insert(0, str(folder))
    try:
        with tempfile.TemporaryDirectory() as cache:
            sys.pycache_prefix = cache
            yield
    finally:
        sys.pycache_prefix = prefix
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _lies_in(module: object, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(place and Path(place).is_relative_to(folder) for place in places)

"""The weights of a bundle: where they are, and how they come into the network without running what they hold."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.bundles.fingerprint import inside
from DeepImagingLib.errors import BundleError, TrustError

if TYPE_CHECKING:
    import torch

DEFAULT = "models/model.pt"
STATE_KEYS = ("model", "state_dict", "network", "net", "model_state_dict")
_ASKS_FOR_CODE = re.compile(r"(unsupported (global|class)|not an allowed global)[^\n]*", re.IGNORECASE)
_UNREADABLE = re.compile(r"(unsupported operand|invalid load key)[^\n]*", re.IGNORECASE)


def weights_file(root: Path, asked: str | None) -> Path:
    """Return the weights file: the one the config loads, else models/model.pt.

    Raises:
        BundleError: It isn't there.
        TrustError: It lies outside of the bundle.
    """
    path = root / (asked or DEFAULT)
    try:
        resolved = inside(path, root)
        there = resolved.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"The bundle's path of its weights, {asked!r}, can't be followed.") from error
    if not there:
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        if any((root / "configs").glob("train.*")):
            raise BundleError(f"It has no weights yet; make some by its recipe: DeepImagingLib train {root.name}.")
        raise BundleError(f"The bundle has no weights: {shown} is missing; download the bundle whole, with its models.")
    return resolved


def load_into(network: torch.nn.Module, path: Path, device: torch.device, *, trusted: bool = False) -> None:
    """Load the state dict in `path` into `network`; every name and shape has to fit.

    Half-precision weights are cast to the network's own precision. A pickle that holds more than tensors is
    only unpickled where the bundle is trusted.

    Raises:
        BundleError: The file is damaged or TorchScript, or doesn't fit the network.
        TrustError: It holds more than tensors and plain values; nothing of it was run.
    """
    name = f"{path.parent.name}/{path.name}"
    if _is_torchscript(path):
        raise TrustError(
            f"{name} is a TorchScript program, which may hold code, and isn't run; save the state_dict there."
        )
    state = _state_dict(_read(path, name, device, trusted), name)
    _check_fit(network, state, name)
    network.load_state_dict(state, strict=True)


def read_weights(path: Path, *, trusted: bool = False) -> dict[str, torch.Tensor]:
    """Return the weights by name that a file holds, on the CPU; more than tensors is only unpickled where trusted.

    Raises:
        BundleError: The file is damaged, or holds no weights.
        TrustError: It holds more than tensors and plain values; nothing of it was run.
    """
    import torch

    return _state_dict(_read(path, path.name, torch.device("cpu"), trusted), path.name)


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(part.rpartition("/")[2] == "constants.pkl" for part in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _read(path: Path, name: str, device: torch.device, trusted: bool) -> Any:
    import torch

    try:
        return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        if trusted:
            return _unpickled(path, name, device)
        asked = _ASKS_FOR_CODE.search(str(error))
        if asked is None:
            raise _damaged(name, error) from error
        raise TrustError(
            f"{name} holds more than weights ({asked[0].strip()[:200]}); nothing of it was run; "
            "save the network's plain state_dict there."
        ) from error
    except Exception as error:
        raise _damaged(name, error) from error


def _unpickled(path: Path, name: str, device: torch.device) -> Any:
    """Read a pickle that the user trusts by its hash, whatever it holds."""
    import torch

    try:
        return torch.load(path, map_location=device, weights_only=False)
    except Exception as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> BundleError:
    # torch's own text advises to load without the check, which is not what a user should read here.
    found = _UNREADABLE.search(str(error))
    lines = [] if isinstance(error, pickle.UnpicklingError) else str(error).strip().splitlines()
    reason = found[0] if found else lines[0][:200] if lines else type(error).__name__
    return BundleError(f"{name} can't be read as weights ({reason.strip()}); the file is damaged, get it again.")


def _state_dict(content: Any, name: str) -> dict[str, torch.Tensor]:
    """Find the state dict in what a checkpoint holds: plain, or under one of the usual names."""
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[key] for key in STATE_KEYS if key in content]
    for candidate in candidates:
        if isinstance(candidate, Mapping) and candidate and all(_is_tensor(v) for v in candidate.values()):
            return _without_prefix({str(key): value for key, value in candidate.items()})
    raise BundleError(f"{name} holds no weights by name; expected a state_dict, or one under {', '.join(STATE_KEYS)}.")


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _without_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Drop the "module." that a network trained on several GPUs puts before each name."""
    prefixed = all(key.startswith("module.") for key in state)
    return {key.removeprefix("module."): value for key, value in state.items()} if prefixed else state


def _check_fit(network: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    expected = network.state_dict()
    faults = {
        "missing": [key for key in expected if key not in state],
        "unexpected": [key for key in state if key not in expected],
        "of another shape": [k for k in state if k in expected and state[k].shape != expected[k].shape],
    }
    told = [f"{len(keys)} {fault} (such as {keys[0]})" for fault, keys in faults.items() if keys]
    if told:
        raise BundleError(
            f"The weights {name} don't fit the network {type(network).__name__}: {', '.join(told)}; "
            "get the weights made for this network and this version of the bundle."
        )

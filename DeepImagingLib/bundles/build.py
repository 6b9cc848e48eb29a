"""From a judged config to the four pieces of a run, without Python's `eval` and without importing by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from DeepImagingLib.bundles import allowed, torchvision_parts
from DeepImagingLib.bundles.expressions import Budget, Computer, TooMuch, Uncomputable, UnsafeExpression, parse
from DeepImagingLib.bundles.references import Refusal, as_reference, join, look_up, shown
from DeepImagingLib.bundles.repairs import DISABLED, TARGET, is_component
from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    import torch
    from monai.transforms import Compose

    from DeepImagingLib.bundles.detector import Detector


@dataclass(frozen=True)
class Pipeline:
    """The four pieces of a run, made together: `postprocessing` inverts the very `preprocessing` beside it.

    Attributes:
        preprocessing: From a mapping of names to channel-first MetaTensors (C, I, J, K) to the network's input.
        network: In evaluation mode, on the device, with the bundle's weights.
        inferer: Called as `inferer(inputs, network)`.
        postprocessing: From that mapping plus the prediction to the answer in the input's grid.
        detector: Of a bundle that finds boxes; its inferer and post-processing are the road's own.
    """

    preprocessing: Compose
    network: torch.nn.Module
    inferer: Callable[..., Any]
    postprocessing: Compose
    detector: Detector | None = None


class Builder:
    """Makes the values of a judged config, each id once, so that two references mean one object.

    Args:
        config: The judged config.
        preset: Ids whose value is given: the device, the bundle's folder.
        name: Gives the value of a dotted name that expressions may use.
        instantiate: Makes a class, given the spelled target and its arguments.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        preset: Mapping[str, Any],
        name: Callable[[str], Any],
        instantiate: Callable[[str, dict[str, Any]], Any],
    ) -> None:
        self._config = config
        self._made: dict[str, Any] = dict(preset)
        self._making: list[str] = []
        self._instantiate = instantiate
        self._budget = Budget()
        self._computer = Computer(self.get, name, self._budget)

    def get(self, ident: str) -> Any:
        """Return the value of `ident`.

        Raises:
            BundleError: It isn't there, refers to itself in a circle, grows without end, or can't be made.
            Refusal: A reference leads to what the judge passed over, such as code within a switched-off step.
        """
        if ident not in self._made:
            if ident in self._making:
                raise BundleError(f"`{shown(ident)}` refers to itself in a circle; the config can't be built.")
            self._making.append(ident)
            self._made[ident] = self.make(self._raw(ident), ident)
            self._making.pop()
        return self._made[ident]

    def _raw(self, ident: str) -> Any:
        try:
            return look_up(self._config, ident)
        except KeyError:
            raise BundleError(f"The config refers to @{shown(ident)}, which is not in it.") from None

    def make(self, raw: Any, ident: str) -> Any:
        """Return the value of `raw`, which stands at `ident`; raises as `get` does."""
        if isinstance(raw, str):
            return self._text(raw, ident)
        if isinstance(raw, dict) and TARGET in raw:
            return self._component(raw, ident)
        if isinstance(raw, (dict, list)):
            return self._afforded(self._items(raw, ident) if isinstance(raw, list) else self._parts(raw, ident), ident)
        return raw

    def _afforded(self, made: Any, ident: str) -> Any:
        try:
            return self._budget.afford(made)
        except TooMuch as error:
            raise BundleError(f"`{shown(ident)}` {error}; the config can't be built.") from error

    def _items(self, raw: list[Any], ident: str) -> list[Any]:
        made = (self._part(item, join(ident, index)) for index, item in enumerate(raw))
        return [item for item in made if item is not _OFF]

    def _parts(self, raw: dict[str, Any], ident: str) -> dict[str, Any]:
        made = {key: self._part(item, join(ident, key)) for key, item in raw.items()}
        return {key: item for key, item in made.items() if item is not _OFF}

    def _part(self, raw: Any, ident: str) -> Any:
        """Make a part of a list or mapping; a switched-off component leaves its place, as in MONAI."""
        made = self.get(ident)
        return _OFF if made is None and is_component(raw) else made

    def _text(self, raw: str, ident: str) -> Any:
        if raw.startswith("$"):
            try:
                return self._computer.compute(parse(raw[1:]))
            except UnsafeExpression as error:
                raise Refusal(ident, f"asks for {error}") from error
            except Uncomputable as error:
                raise BundleError(f"`{shown(ident)}`: {error}.") from error
        reference = as_reference(raw)
        return raw if reference is None else self.get(reference)

    def _component(self, raw: dict[str, Any], ident: str) -> Any:
        if self._is_off(raw, ident):
            return None
        parts = self._parts({key: item for key, item in raw.items() if key not in (TARGET, "_desc_")}, ident)
        arguments = {key: item for key, item in parts.items() if key not in (DISABLED, "_requires_", "_mode_")}
        try:
            return self._instantiate(raw[TARGET], arguments)
        except BundleError:
            raise
        except NotListed as error:
            raise Refusal(join(ident, TARGET), str(error)) from error
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BundleError(
                f"`{shown(ident)}` ({raw[TARGET]}) can't be made with these settings: {reason}"
            ) from error

    def _is_off(self, raw: dict[str, Any], ident: str) -> bool:
        switch = self.get(join(ident, DISABLED)) if DISABLED in raw else False
        return switch.strip().lower() == "true" if isinstance(switch, str) else bool(switch)


_OFF = object()


class NotListed(LookupError):
    """A target is none of the list."""


def instantiate(target: str, arguments: dict[str, Any]) -> Any:
    """Make a class of the list, imported from the very module that the list names; raises NotListed for another."""
    if not isinstance(target, str) or target not in allowed.TARGETS:
        raise NotListed(allowed.NOT_LISTED.format(target))
    return _listed(allowed.TARGETS[target])(**arguments)


def _listed(target: allowed.Target) -> Callable[..., Any]:
    """Import a class or function of the list."""
    torchvision_parts.load_for(target.name)
    return getattr(import_module(target.module), target.name)


def names_on(device: torch.device) -> Callable[[str], Any]:
    """Return what gives dotted names their values for a run on `device`: which device to use is the road's word.

    An expression that asks for a device gets `device`, or the CPU where it names that.
    """
    import numpy
    import torch

    given: dict[str, Any] = {
        "os.path.join": os.path.join,
        "torch.cuda.is_available": lambda: device.type == "cuda",
        "torch.device": lambda asked="cpu", *_: torch.device("cpu") if str(asked) == "cpu" else device,
    }

    def name(dotted: str) -> Any:
        if dotted in given:
            return given[dotted]
        if dotted in allowed.MAKERS:
            return _listed(allowed.MAKERS[dotted])
        module, _, attribute = dotted.partition(".")
        return getattr(torch if module == "torch" else numpy, attribute)

    return name


class _NotPlain(BundleError):
    """A value needs torch or a class to be known."""


def plain_builder(config: Mapping[str, Any], folder: str) -> Builder:
    """Return a builder of plain values: texts, numbers and lists, without torch and without making any class."""

    def name(dotted: str) -> Any:
        if dotted == "os.path.join":
            return os.path.join
        raise _NotPlain(f"`{dotted}` is not a plain value")

    def refuse(target: str, arguments: dict[str, Any]) -> Any:
        raise _NotPlain(f"`{target}` is not a plain value")

    return Builder(config, preset={"bundle_root": folder}, name=name, instantiate=refuse)


def judged_builder(config: Mapping[str, Any], folder: str, device: torch.device) -> Builder:
    """Return a builder of everything in a judged config, for a run on `device`."""
    preset = {"device": device, "bundle_root": folder}
    return Builder(config, preset=preset, name=names_on(device), instantiate=instantiate)

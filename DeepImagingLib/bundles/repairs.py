"""What is adapted in a config before it is judged: the road's own steps fall out, and known ageing is mended.

A step falls out by MONAI's own switch (`_disabled_`), so that every identifier still means the same.
Each repair that could matter to a reader of the result leaves a note.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from DeepImagingLib.bundles import allowed

TARGET = "_target_"
DISABLED = "_disabled_"

Note = Callable[[str], None]
Step = tuple[str, dict[str, Any]]


def is_component(value: object) -> bool:
    """Tell whether `value` asks for a class or function to be called."""
    return isinstance(value, dict) and TARGET in value


def is_off(component: dict[str, Any]) -> bool:
    """Tell whether a component is switched off by a plain value."""
    switch = component.get(DISABLED, False)
    return switch is True or (isinstance(switch, str) and switch.strip().lower() == "true")


def step_of(value: object) -> str:
    """Return the plain name of a component's transform ("Invert"), or "" where `value` is none."""
    return allowed.step_name(value[TARGET]) if isinstance(value, dict) and TARGET in value else ""


def adapt(value: Any, note: Note) -> None:
    """Adapt `value`, a part of a config without macros, in place: all that needs no look at other parts."""
    if isinstance(value, list):
        _switch_off_road_steps(value, note)
    if isinstance(value, dict) and TARGET in value and not is_off(value):
        _mend_component(value, note)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        adapt(item, note)


def _switch_off_road_steps(steps: list[Any], note: Note) -> None:
    for index, step in enumerate(steps):
        if step_of(step) not in allowed.ROAD_STEPS:
            continue
        if step_of(step) == "SaveImage" and not is_off(step):
            _switch_off_lambdas_before(steps, index, note)
        steps[index] = _off(step)


def _switch_off_lambdas_before(steps: list[Any], saver: int, note: Note) -> None:
    """Skip a Lambdad that only shapes the saved file, such as three overlapping labels merged into one map."""
    keys = steps[saver].get("keys")
    index = saver - 1
    while index >= 0 and step_of(steps[index]) == "Lambda" and _same_keys(steps[index].get("keys"), keys):
        if not is_off(steps[index]):
            note("The Lambdad right before SaveImaged was skipped: it only shapes the file the bundle would save.")
        steps[index] = _off(steps[index])
        index -= 1


def _same_keys(one: object, other: object) -> bool:
    return (one if isinstance(one, list) else [one]) == (other if isinstance(other, list) else [other])


def _off(step: dict[str, Any]) -> dict[str, Any]:
    """Return a step that MONAI skips; which images it was for is kept, as data."""
    return {TARGET: step[TARGET], DISABLED: True, "keys": step.get("keys")}


def _mend_component(component: dict[str, Any], note: Note) -> None:
    name = str(component[TARGET]).rpartition(".")[2]
    if name == "SwinUNETR" and component.pop("img_size", None) is not None:
        note("`img_size` of SwinUNETR was dropped: MONAI removed it in 1.5, and it changed nothing in the answer.")
    if component.get("pretrained", False) not in (False, None):
        note(f"`pretrained` of {name} was set to false: the bundle's own weights follow, nothing is downloaded.")
    if name in allowed.ARGUMENTS and component.pop("weights", None) is not None:
        note(f"`weights` of {name} was dropped: the bundle's own weights follow, nothing is downloaded.")
    network = allowed.NETWORKS.get(str(component[TARGET]))
    if "pretrained" in component or (network and network.name in allowed.PRETRAINED):
        component["pretrained"] = False
    if name.endswith(("Inferer", "InfererAdapt")):
        component.pop("progress", None)  # a bar of its own: the road tells how far it is
    device = component.get("device")
    if isinstance(device, str) and device.startswith("cuda"):
        component["device"] = "@device"


def invert_labels_by_nearest(steps: list[Step], channels: int | None, note: Note) -> None:
    """Set `nearest_interp` of each Invertd that follows an argmax on the same key; between labels lies no label.

    A network of two `channels` gives one label and background: there, linear values and rounding are a sound answer,
    and stock MONAI's, so that it is kept.
    """
    if channels == 2:
        return
    labels: set[str] = set()
    for _, step in steps:
        keys = _key_set(step.get("keys"))
        if step_of(step) == "AsDiscrete" and _any_true(step.get("argmax")) and not step.get("to_onehot"):
            labels |= keys
        if step_of(step) == "Invert" and keys & labels and not step.get("nearest_interp", True):
            step["nearest_interp"] = True
            note(
                "Invertd follows an argmax but asked for linear interpolation, which invents labels between others; "
                "nearest is used, so that the result differs from stock MONAI's at the borders of labels."
            )


def _key_set(keys: object) -> set[str]:
    return {str(key) for key in (keys if isinstance(keys, list) else [keys])}


def _any_true(value: object) -> bool:
    return any(item is True for item in (value if isinstance(value, list) else [value]))

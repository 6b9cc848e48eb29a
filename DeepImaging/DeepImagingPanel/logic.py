"""What a panel does, without a panel: lines up a run on nodes and gives back a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.hosts import Handle, Outcome, PlanJob, RunJob
from DeepImagingLib.options import Options
from DeepImagingLib.scene.region import region as voxelsOfRegion
from DeepImagingPanel import runner
from DeepImagingPanel.parameters import PanelParameterNode
from DeepImagingPanel.scene_run import SceneRun
from DeepImagingPanel.stored_result import storeMeasures

INPUT = "image"


class PanelLogic(ScriptedLoadableModuleLogic):
    """Runs models on nodes; a module's own logic says what becomes of an answer, in `show`."""

    def getParameterNode(self) -> PanelParameterNode:
        """Return the scene's parameter node of this module, typed."""
        return PanelParameterNode(super().getParameterNode())

    def start(
        self,
        inputVolume: Any,
        model: str,
        output: Any = None,
        trust: str | None = None,
        region: Any = None,
        **options: Any,
    ) -> SceneRun:
        """Line up a run in the worker and return at once.

        Args:
            inputVolume: A volume node, or input names to volume nodes.
            model: A bundle's name or folder.
            output: What `show` is given beside the answer: the node to fill, of which None makes a new one.
            trust: SHA-256 of a bundle that may run unjudged.
            region: A vtkMRMLMarkupsROINode to which the run is limited.
            options: Further fields of `DeepImagingLib.Options`.

        Raises:
            InputError: An option is none of those.
        """
        volumes = _volumes(inputVolume)
        makeJob = _maker(RunJob, inputVolume, model, trust, region, options)

        def show(outcome: Outcome, reference: Any) -> Any:
            return self.show(outcome, reference, output)

        return runner.current().start(SceneRun(_name(volumes, model), volumes, makeJob, show, self.moduleName))

    def foresee(
        self,
        inputVolume: Any,
        model: str,
        listener: Callable[[Handle], None],
        trust: str | None = None,
        region: Any = None,
        **options: Any,
    ) -> Handle:
        """Have the worker tell how a run would go and return at once; arguments and errors are those of `start`.

        Args:
            listener: Told of the handle whenever something changed; its result is an `Outlook`.
        """
        makeJob = _maker(PlanJob, inputVolume, model, trust, region, options)
        return runner.current().do(makeJob, listener, _name(_volumes(inputVolume), model))

    def process(self, inputVolume: Any, model: str, output: Any = None, **options: Any) -> Any:
        """Run, wait and return the node: `start` for scripts; raises the DeepImagingError that ended it."""
        return self.start(inputVolume, model, output, **options).result()

    def show(self, outcome: Outcome, reference: Any, output: Any = None) -> Any:
        """Make nodes of what a run returned and return the one that stands for it."""
        node = scene.show(outcome.result, reference, node=output, surface=False)
        storeMeasures(node, outcome.measures)
        return node


def _volumes(inputVolume: Any) -> dict[str, Any]:
    """Return input names to volume nodes; raises InputError where one is missing."""
    volumes = dict(inputVolume) if isinstance(inputVolume, Mapping) else {INPUT: inputVolume}
    if not volumes or any(volume is None for volume in volumes.values()):
        raise InputError(_("There is no volume to work on; load a scan into the scene and select it."))
    return volumes


def _name(volumes: Mapping[str, Any], model: str) -> str:
    return f"{next(iter(volumes.values())).GetName()} · {Path(model).name}"


def _maker(
    kind: type[RunJob] | type[PlanJob],
    inputVolume: Any,
    model: str,
    trust: str | None,
    region: Any,
    options: Mapping[str, Any],
) -> Callable[[], RunJob | PlanJob]:
    """Return what makes the job when its turn comes, of the scene as it is then; raises InputError at once."""
    volumes = _volumes(inputVolume)
    Options(**options)  # a wrong one is told here, not when its turn comes

    def makeJob() -> RunJob | PlanJob:
        given = {name: scene.voxels(volume) for name, volume in volumes.items()}
        roi = {"roi": _ranges(region, next(iter(volumes.values())))} if region is not None else {}
        only = isinstance(inputVolume, Mapping)
        return kind(model, given if only else given[INPUT], Options(**{**options, **roi}), trust)

    return makeJob


def _ranges(region: Any, volume: Any) -> Any:
    if region.GetScene() is None:
        raise InputError(_("The region of interest was removed from the scene; choose another one, or none."))
    return voxelsOfRegion(region, volume)

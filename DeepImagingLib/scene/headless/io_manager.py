"""The stand-in for qSlicerCoreIOManager: loads and saves nodes for `slicer.util`, by Slicer's own storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

if TYPE_CHECKING:
    from DeepImagingLib.scene.headless.application import HeadlessApplication

# Endings that say what a file is; everything else is taken for a volume.
FILE_TYPES = {
    "SceneFile": (".mrb", ".mrml"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "ModelFile": (".vtk", ".vtp", ".stl", ".ply", ".obj"),
    "TransformFile": (".h5", ".tfm", ".mat"),
    "ColorTableFile": (".ctbl",),
    "TableFile": (".tsv", ".csv"),
    "TextFile": (".txt", ".json"),
}
WRITER_TYPES = {
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLTextNode": "TextFile",
    "vtkMRMLColorNode": "ColorTableFile",
}
NODE_CLASSES = {
    "ModelFile": "vtkMRMLModelNode",
    "TransformFile": "vtkMRMLTransformNode",
    "TableFile": "vtkMRMLTableNode",
    "TextFile": "vtkMRMLTextNode",
    "ColorTableFile": "vtkMRMLColorTableNode",
    "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
}


class IOManager:
    """The calls of qSlicerCoreIOManager that `slicer.util` makes; `properties` are Slicer's own."""

    def __init__(self, application: HeadlessApplication) -> None:
        self._application = application

    @property
    def _scene(self) -> Any:
        return self._application.mrmlScene()

    def fileType(self, filename: str) -> str:
        """Return what kind of file a name stands for."""
        name = str(filename).lower()
        return next((kind for kind, endings in FILE_TYPES.items() if name.endswith(endings)), "VolumeFile")

    def fileWriterFileType(self, node: Any, *_: Any) -> str:
        """Return what kind of file a node is saved to."""
        return next((kind for name, kind in WRITER_TYPES.items() if node.IsA(name)), "")

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        """Load a file into the scene; appends the node to the vtkCollection `loaded`."""
        filename = _absolute(properties["fileName"])
        if kind == "SceneFile":
            return self._loadScene(filename, bool(properties.get("clear", False)), messages)
        name = properties.get("name") or Path(filename).name.split(".")[0]
        loaders = {"VolumeFile": self._loadVolume, "SegmentationFile": self._loadSegmentation}
        node = loaders[kind](filename, name, properties) if kind in loaders else self._loadOther(kind, filename, name)
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def _loadScene(self, filename: str, clear: bool, messages: Any) -> bool:
        if filename.endswith(".mrb"):
            with self._application.unpacking():
                return bool(self._scene.ReadFromMRB(filename, clear, messages))
        self._scene.SetURL(filename)
        return bool(self._scene.Connect(messages) if clear else self._scene.Import(messages))

    def _loadVolume(self, filename: str, name: str, properties: dict[str, Any]) -> Any:
        flags = ("labelmap", 1), ("center", 2), ("singleFile", 4)  # bits of vtkSlicerVolumesLogic's loading options
        options = sum(bit for flag, bit in flags if properties.get(flag))
        return self._application.modules.volumes.logic().AddArchetypeVolume(filename, name, options, None)

    def _loadSegmentation(self, filename: str, name: str, properties: dict[str, Any]) -> Any:
        colors = self._scene.GetNodeByID(properties["colorNodeID"]) if properties.get("colorNodeID") else None
        logic = self._application.modules.segmentations.logic()
        return logic.LoadSegmentationFromFile(filename, properties.get("autoOpacities", True), name, colors, None)

    def _loadOther(self, kind: str, filename: str, name: str) -> Any:
        node = self._scene.AddNewNodeByClass(NODE_CLASSES[kind], name)
        node.AddDefaultStorageNode(filename)
        if not node.GetStorageNode().ReadData(node):
            self._scene.RemoveNode(node)
            return None
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        return node

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Save a node, or the scene for the kind "SceneFile", to `properties["fileName"]`."""
        filename = _absolute(properties["fileName"])
        if kind == "SceneFile":
            return self._saveScene(filename, messages)
        node = self._scene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None or not storage.SupportedFileType(filename):
            if storage is not None:
                self._scene.RemoveNode(storage)
            node.AddDefaultStorageNode(filename)
            storage = node.GetStorageNode()
        if not storage.SupportedFileType(filename):
            return False
        storage.SetFileName(filename)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(node))

    def _saveScene(self, filename: str, messages: Any) -> bool:
        self._scene.SetURL(filename)
        self._scene.SetRootDirectory(str(Path(filename).parent))
        if filename.endswith(".mrb"):
            return bool(self._scene.WriteToMRB(filename, None, messages))
        return bool(self._scene.Commit(filename, messages))

    def exportNodes(
        self,
        nodeIDs: list[str],
        filenames: list[str],
        properties: dict[str, Any],
        harden: bool = False,
        messages: Any = None,
    ) -> bool:
        """Write copies of nodes to files, so that the nodes keep the storage they have."""
        written = [self._exportNode(i, _absolute(f), properties) for i, f in zip(nodeIDs, filenames, strict=True)]
        return all(written)

    def _exportNode(self, nodeID: str, filename: str, properties: dict[str, Any]) -> bool:
        node = self._scene.GetNodeByID(nodeID)
        storage = self._newStorage(node)
        scene = slicer.vtkMRMLScene()
        copy = scene.CopyNode(node)
        storage.SetFileName(filename)
        scene.AddNode(storage)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(copy))

    def fileWriterExtensions(self, node: Any) -> list[str]:
        """Return the endings a node can be saved with."""
        endings = self._newStorage(node).GetSupportedWriteFileTypes()
        return [endings.GetValue(index) for index in range(endings.GetNumberOfValues())]

    def extractKnownExtension(self, filename: str, node: Any) -> str:
        """Return the known ending of a file name, "" where it has none."""
        return self._newStorage(node).GetSupportedFileExtension(str(filename), False, True) or ""

    def _newStorage(self, node: Any) -> Any:
        """Return a storage node for `node`; it must see the scene, which knows the supported formats."""
        storage = self._scene.CreateNodeByClass(node.GetDefaultStorageNodeClassName())
        storage.UnRegister(None)  # CreateNodeByClass hands over its reference; Python holds its own
        storage.SetScene(self._scene)
        return storage


def _absolute(filename: Any) -> str:
    """Return the path from the current folder; a storage node would start from the scene's."""
    return str(Path(filename).absolute())

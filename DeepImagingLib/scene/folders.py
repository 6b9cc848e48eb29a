"""Where results stand in the subject hierarchy; without Qt nobody else puts them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from DeepImagingLib.scene.removal import RUN_ATTRIBUTE


def file_beside(reference: Any, nodes: Sequence[Any], run: str, folder_name: str) -> None:
    """File nodes in a new folder beside a reference.

    Args:
        reference: A node of the scene.
        nodes: What is to be filed, in this order.
        run: Of whom the folder is, so that it is found again.
        folder_name: What it is called.
    """
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(reference.GetScene())
    if hierarchy is None:
        return
    beside = _item(hierarchy, reference, hierarchy.GetSceneItemID())
    folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(beside), folder_name)
    hierarchy.SetItemAttribute(folder, RUN_ATTRIBUTE, run)
    for node in nodes:
        hierarchy.SetItemParent(_item(hierarchy, node, folder), folder)


def _item(hierarchy: Any, node: Any, parent: int) -> int:
    """Return the item of a node, made under `parent` where there is none."""
    return int(hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(parent, node))

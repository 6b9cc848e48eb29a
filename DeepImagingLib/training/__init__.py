"""Train networks by recipes; what comes out is a plain MONAI bundle.

A recipe is a bundle with `configs/train.json`: MONAI's transforms, network and inferer, torch's loss, optimizer and
schedule by their names, and a `trainer`. `python -m DeepImagingLib train` and MONAI's own `monai.bundle run` take the
same file.
"""

from DeepImagingLib.training.bodies import Bodies
from DeepImagingLib.training.box_patches import BoxRowsd, RandBoxPatchd
from DeepImagingLib.training.cases.stored import Cases
from DeepImagingLib.training.classifying import measure_classifier
from DeepImagingLib.training.detecting import DetectorLoss, GrowingHardness, measure_detector
from DeepImagingLib.training.draws import Shuffled
from DeepImagingLib.training.labelled_pictures import LabelledPictures
from DeepImagingLib.training.leads import RandLeadsd
from DeepImagingLib.training.losses import KnownBCELoss, PresentDiceCELoss
from DeepImagingLib.training.lung_patches import LungCases, LungPatches
from DeepImagingLib.training.old_labels import OldLabelsd
from DeepImagingLib.training.outliers import RandOutlierd
from DeepImagingLib.training.phantom_patches import PhantomCases, PhantomPatches
from DeepImagingLib.training.radiographs import Radiographs
from DeepImagingLib.training.recipe import Recipe, load_recipe
from DeepImagingLib.training.region_labels import RegionBCELoss, RegionsInLabeld
from DeepImagingLib.training.scans import Scans
from DeepImagingLib.training.stages import CoarseStage, EarlierWeights, TorchvisionWeights
from DeepImagingLib.training.trainer import Trainer
from DeepImagingLib.training.validate import DiceBesideKept

__all__ = [
    "Bodies",
    "BoxRowsd",
    "Cases",
    "CoarseStage",
    "DetectorLoss",
    "DiceBesideKept",
    "EarlierWeights",
    "GrowingHardness",
    "KnownBCELoss",
    "LabelledPictures",
    "LungCases",
    "LungPatches",
    "OldLabelsd",
    "PhantomCases",
    "PhantomPatches",
    "PresentDiceCELoss",
    "RandBoxPatchd",
    "RandLeadsd",
    "RandOutlierd",
    "Radiographs",
    "Recipe",
    "RegionBCELoss",
    "RegionsInLabeld",
    "Scans",
    "Shuffled",
    "TorchvisionWeights",
    "Trainer",
    "load_recipe",
    "measure_classifier",
    "measure_detector",
]

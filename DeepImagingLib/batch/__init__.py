"""Many studies, one after the other or a few at once, on this machine: stopped at any moment, they go on from there.

What one study is and how it is run doesn't live here: `study` and `hosts` do that.
"""

from DeepImagingLib.batch.batch import FORMATS, Batch
from DeepImagingLib.batch.entry import Entry
from DeepImagingLib.batch.find import find_studies
from DeepImagingLib.batch.studies import Study

__all__ = ["FORMATS", "Batch", "Entry", "Study", "find_studies"]

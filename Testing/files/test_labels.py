"""What is on images is read from tables of our own and from ChestX-ray14's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.labels import CHESTX_RAY14, PixelBox, read_boxes, read_labels, read_list

DATA_ENTRY = """\
Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,\
OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],
00000001_000.png,Cardiomegaly,0,1,58,M,PA,2682,2749,0.143,0.143,
00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,PA,2894,2729,0.143,0.143,
00000002_000.png,No Finding,0,2,81,M,PA,2500,2048,0.171,0.171,
"""
BBOX_LIST = """\
Image Index,Finding Label,Bbox [x,y,w,h],,,
00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7796610169491,79.1864406779661,,,
00013118_008.png,Infiltrate,10,20,30,40,,,
00014716_007.png,Effusion,686.101694915254,131.543498111271,185.491525423729,313.492063492064,,,
"""


@pytest.fixture
def write(tmp_path: Path):
    """Write a file of these words."""

    def write(text: str, name: str = "table.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_a_table_has_a_column_a_label(write) -> None:
    table = read_labels(write("file,effusion,nodule\na.png,1,0\nsub/b.png,0,0\n\nc.png,1.0,1\n"))
    assert table.labels == ("effusion", "nodule") and not table.subjects
    assert table.truth(["c.png", "a.png", "sub/b.png"], ["nodule", "effusion"]).tolist() == [[1, 1], [0, 1], [0, 0]]


def test_a_table_names_labels_with_bars_between(write) -> None:
    table = read_labels(write("\ufefffile,labels\na.png,nodule|effusion\nb.png,\nc.png, effusion \n"))
    assert table.labels == ("effusion", "nodule")
    assert table.truth(["a.png", "b.png", "c.png"], table.labels).tolist() == [[1, 1], [0, 0], [1, 0]]


def test_chestx_ray14_s_table_has_its_14_labels_and_patients(write) -> None:
    table = read_labels(write(DATA_ENTRY))
    assert table.labels == CHESTX_RAY14 and len(CHESTX_RAY14) == 14
    assert table.on == {
        "00000001_000.png": {"Cardiomegaly"},
        "00000001_001.png": {"Cardiomegaly", "Emphysema"},
        "00000002_000.png": frozenset(),
    }
    assert list(table.subjects.values()) == ["1", "1", "2"]


def test_chestx_ray14_s_boxes_are_named_as_its_labels(write) -> None:
    boxes = read_boxes(write(BBOX_LIST))
    assert [box.label for box in boxes["00013118_008.png"]] == ["Atelectasis", "Infiltration"]
    assert boxes["00013118_008.png"][1] == PixelBox("Infiltration", 10, 20, 30, 40)


def test_a_box_s_mask_runs_along_x_first_and_ends_with_the_image() -> None:
    inside = PixelBox("mass", 3, 1, 2, 4).mask((8, 7))
    assert inside.dtype == bool and inside[3:5, 1:5].all() and inside.sum() == 8
    assert PixelBox("mass", -1, 5, 3, 100).mask((8, 7)).sum() == 2 * 2


def test_a_list_names_a_file_a_line(write) -> None:
    assert read_list(write("a.png\r\nb.png\n\n", "test_list.txt")) == ("a.png", "b.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no image"),
        ("file,nodule\n", "names no image"),
        ("name,nodule\na.png,1\n", "first line is to be 'file,LABEL"),
        ("file\na.png\n", "first line is to be"),
        ("file,nodule\na.png,2\n", "table.csv, line 2: nodule is '2', expected 0 or 1"),
        ("file,nodule\na.png,1\nb.png\n", "line 3: nodule is '', expected a number"),
        ("file,nodule\na.png,1,0\n", "line 2 has more cells"),
        ("file,nodule\na.png,1\na.png,0\n", "line 3: file is 'a.png', expected each file once"),
        ("file,nodule\n,1\n", "line 2: file is '', expected a name"),
        (DATA_ENTRY.replace("Emphysema", "Hiccup"), "line 3: Finding Labels is 'Cardiomegaly.Hiccup'"),
    ],
)
def test_a_table_that_is_none_is_told(write, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(write(text))


def test_a_file_or_a_label_that_the_table_does_not_know_is_told(write) -> None:
    table = read_labels(write("file,nodule\na.png,1\n"))
    with pytest.raises(InputError, match=r"no file 'b\.png'"):
        table.truth(["a.png", "b.png"], ["nodule"])
    with pytest.raises(InputError, match="no label 'effusion'"):
        table.truth(["a.png"], ["effusion"])


def test_boxes_and_lists_that_are_none_are_told(write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'Bbox \[x'"):
        read_boxes(write("Image Index,Finding Label\na.png,Mass\n"))
    with pytest.raises(InputError, match=r"line 2: w is '0', expected a length above 0"):
        read_boxes(write("Image Index,Finding Label,Bbox [x,y,w,h]\na.png,Mass,1,2,0,3\n"))
    with pytest.raises(InputError, match="names no file"):
        read_list(write("\n", "list.txt"))
    with pytest.raises(InputError, match="names 'a' twice"):
        read_list(write("a\nb\na\n", "list.txt"))
    with pytest.raises(InputError, match="can't be read as a list"):
        read_list(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="can't be read as a table"):
        read_labels(tmp_path)

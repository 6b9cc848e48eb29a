"""Sensitivities at false positives a scan are those one counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from monai.data.box_utils import box_iou

from DeepImagingLib.evaluation import POINTS, Hit, Scan, cpm, froc, intervals, judge, precision_and_recall
from DeepImagingLib.evaluation.hits import _overlaps, corners


def scan(boxes: list[list[float]], scores: list[float], lesions: list[list[float]]) -> Scan:
    """A scan of boxes and lesions, middle and lengths each."""
    return Scan("scan", _rows(boxes), np.array(scores, float), _rows(lesions))


def _rows(values: list[list[float]]) -> np.ndarray:
    return np.array(values, float).reshape(-1, 6)


NODULE = [0, 0, 0, 10, 10, 10]
FAR = [100, 0, 0, 10, 10, 10]
FARTHER = [200, 0, 0, 10, 10, 10]


class TestHits:
    def test_a_box_whose_middle_lies_in_the_ball_hits(self) -> None:
        inside, outside = [4.9, 0, 0, 2, 2, 2], [3, 3, 3, 2, 2, 2]  # the second within the cube, not the ball
        outcome = judge(scan([inside, outside], [0.3, 0.9], [NODULE]))
        assert outcome.found.tolist() == [0.3] and outcome.false.tolist() == [0.9]
        assert outcome.lesion.tolist() == [0, -1]

    def test_overlap_is_another_criterion(self) -> None:
        small = [0, 0, 0, 4, 4, 4]  # 64 of 1000 mL: under a tenth
        large = [0, 0, 0, 5, 5, 5]  # 125 of 1000
        assert np.isnan(judge(scan([small], [1], [NODULE]), Hit.IOU).found).all()
        assert judge(scan([large], [1], [NODULE]), Hit.IOU).found.tolist() == [1]

    def test_a_second_box_on_a_lesion_counts_neither_way(self) -> None:
        outcome = judge(scan([NODULE, NODULE], [0.4, 0.8], [NODULE]))
        assert outcome.found.tolist() == [0.8] and not len(outcome.false)

    def test_of_unknown_size_the_middle_has_to_lie_in_the_box(self) -> None:
        place = [[4, 0, 0, *[np.nan] * 3]]
        assert judge(scan([NODULE], [1], place)).found.tolist() == [1]
        assert np.isnan(judge(scan([[-2, *NODULE[1:]]], [1], place)).found).all()

    def test_nothing_found_and_nothing_there(self) -> None:
        assert not len(judge(scan([], [], [])).found)
        assert np.isnan(judge(scan([], [], [NODULE])).found).all()
        assert judge(scan([NODULE], [0.5], [])).false.tolist() == [0.5]

    @pytest.mark.parametrize("hit", Hit)
    def test_of_unknown_height_the_box_has_to_reach_the_slice(self, hit: Hit) -> None:
        on_slice = [[1, 0, 0, 10, 10, np.nan]]
        assert judge(scan([NODULE], [1], on_slice), hit).found.tolist() == [1]
        assert np.isnan(judge(scan([[0, 0, 6, 10, 10, 10]], [1], on_slice), hit).found).all()
        assert np.isnan(judge(scan([FAR], [1], on_slice), hit).found).all()

    def test_overlaps_are_those_of_monai(self) -> None:
        rng = np.random.default_rng(0)
        boxes, lesions = (np.c_[rng.uniform(0, 20, (n, 3)), rng.uniform(3, 20, (n, 3))] for n in (40, 30))
        one = Scan("scan", boxes, np.ones(40), lesions)
        np.testing.assert_allclose(_overlaps(one), box_iou(corners(boxes), corners(lesions)), atol=1e-6)


class TestTheCurve:
    def test_all_found_before_anything_false_is_1(self) -> None:
        assert cpm([judge(scan([NODULE, FAR], [0.9, 0.1], [NODULE]))]) == 1

    def test_one_score_for_all_is_no_less(self) -> None:
        assert cpm([judge(scan([NODULE], [0.5], [NODULE]))]) == 1

    def test_nothing_found_is_0(self) -> None:
        assert cpm([judge(scan([FAR], [0.5], [NODULE]))]) == 0

    def test_between_points_of_the_curve_lie_straight_lines(self) -> None:
        # thresholds fall: one of two lesions, one false positive, the other lesion
        outcome = judge(scan([NODULE, FARTHER, FAR], [0.9, 0.8, 0.7], [NODULE, FAR]))
        curve = froc([outcome])
        assert curve.at([0, 0.5, 1, 8]).tolist() == [0.5, 0.5, 1, 1]
        assert cpm([outcome]) == pytest.approx(np.mean([0.5, 0.5, 0.5, 1, 1, 1, 1]))

    def test_lesions_of_a_group_are_found_among_the_false_positives_of_all(self) -> None:
        small = [0, 0, 0, 5, 5, 5]
        outcome = judge(scan([FARTHER, small, FAR], [0.9, 0.8, 0.7], [small, FAR]))
        assert froc([outcome], 4, 6).at([0.5, 1]).tolist() == [0, 1]
        assert froc([outcome], 6, 20).lesions == 1 and np.isnan(froc([outcome], 20, 30).at()).all()

    def test_of_false_positives_with_one_score_none_is_left_out(self) -> None:
        scans = [judge(scan([NODULE, *[FAR] * 100], [1.0] * 101, [NODULE])) for _ in range(10)]
        assert froc(scans).at()[-1] == pytest.approx(0.08)

    def test_false_positives_beyond_eight_a_scan_change_nothing(self) -> None:
        scores = [0.9, *np.linspace(0.8, 0.7, 9)]
        few = judge(scan([NODULE, *[FARTHER] * 9], scores, [NODULE, FAR]))
        many = judge(scan([NODULE, *[FARTHER] * 209, FAR], [*scores, *[0.1] * 201], [NODULE, FAR]))
        assert froc([few]).at().tolist() == froc([many]).at().tolist() == [0.5] * len(POINTS)

    def test_intervals_hold_the_figure_and_are_the_same_each_time(self) -> None:
        outcomes = [judge(scan([NODULE], [0.5], [NODULE])), judge(scan([FAR], [0.6], [NODULE]))] * 5
        first, second = intervals(outcomes), intervals(outcomes)
        assert first == second
        low, high = first["cpm"][0]
        assert low < cpm(outcomes) < high and len(first["sensitivities"]) == len(POINTS)


class TestPrecision:
    def test_boxes_as_the_lesions_are_perfect(self) -> None:
        told = precision_and_recall([scan([NODULE, FAR], [0.9, 0.8], [NODULE, FAR])])
        assert told == pytest.approx({"mAP": 1, "mAR": 1, "mAP at IoU 0.1": 1, "mAR at IoU 0.1": 1})

    def test_a_loose_box_counts_at_a_low_overlap_only(self) -> None:
        told = precision_and_recall([scan([[0, 0, 0, 5, 5, 5]], [0.9], [NODULE])])
        assert told == pytest.approx({"mAP": 0, "mAR": 0, "mAP at IoU 0.1": 1, "mAR at IoU 0.1": 1})

    def test_of_lesions_without_a_size_it_is_told_that_nothing_is_known(self) -> None:
        told = precision_and_recall([scan([NODULE], [0.9], [[0, 0, 0, *[np.nan] * 3]])])
        assert told["mAP"] is told["mAR at IoU 0.1"] is None and "not known" in str(told["mAP and mAR"])

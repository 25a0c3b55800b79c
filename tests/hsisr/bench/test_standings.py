from __future__ import annotations

import statistics

import pytest

from hsisr.bench.standings import averaged, differences, standings
from hsisr.bench.trial import Result


def _result(variant, seed, psnr, dataset="a", **facts):
    return Result(dataset, 4, variant, seed, {"psnr": psnr, "sam": -psnr}, facts)


def test_a_row_holds_one_value_per_seed():
    results = [_result("net", 0, 30.0), _result("net", 1, 31.0), _result("bicubic", None, 29.0)]
    net, bicubic = standings(results)
    assert (net.name, bicubic.name) == ("net", "bicubic")
    assert net.measures == {"psnr": [30.0, 31.0], "sam": [-30.0, -31.0]}
    assert bicubic.measures["psnr"] == [29.0]
    assert (net.entry.seeds, bicubic.entry.seeds) == ([0, 1], [None])


def test_facts_are_the_mean_of_what_is_known():
    known = [_result("net", 0, 1.0, steps=4, memory=None), _result("net", 1, 1.0, steps=8)]
    assert standings(known)[0].facts == {"steps": 6, "memory": None}


def test_data_sets_are_averaged_seed_by_seed_before_the_deviation_is_taken():
    # the data sets differ by 10 dB, the seeds by 1 and 2: the deviation is that of the seeds
    tables = [
        standings([_result("net", seed, psnr, name) for seed, psnr in enumerate(values)])
        for name, values in {"a": (30.0, 31.0), "b": (40.0, 42.0)}.items()
    ]
    (row,) = averaged(tables)
    assert row.measures["psnr"] == [35.0, 36.5]


def test_what_is_not_done_everywhere_is_not_averaged():
    first = standings([_result("net", 0, 1.0), _result("net", 1, 2.0), _result("other", 0, 3.0)])
    second = standings([_result("net", 1, 4.0, "b")])
    (row,) = averaged([first, second])
    assert row.name == "net"
    assert row.scores == {1: {"psnr": 3.0, "sam": -3.0}}
    assert row.entry.seeds == [1]


def test_a_difference_is_paired_by_the_seed():
    off = standings([_result("net", 0, 30.0), _result("net", 1, 33.0), _result("net", 2, 31.0)])
    # in another order, and of other seeds
    on = standings([_result("on", 2, 31.5), _result("on", 0, 30.25), _result("on", 7, 50.0)])
    (row,) = differences([*off, *on], {"gain": ("on", "net"), "absent": ("on", "other")})
    assert row.name == "gain"
    assert row.scores == {
        2: {"psnr": pytest.approx(0.5), "sam": pytest.approx(-0.5)},
        0: {"psnr": pytest.approx(0.25), "sam": pytest.approx(-0.25)},
    }
    assert statistics.fmean(row.measures["psnr"]) == pytest.approx(0.375)


def test_without_a_common_seed_there_is_no_difference():
    rows = standings([_result("on", 1, 1.0), _result("off", 0, 1.0)])
    assert differences(rows, {"gain": ("on", "off")}) == []

"""Results as JSON lines."""

import json
import math

import pytest
from pydantic import ValidationError

from latentlab.errors import DataError
from latentlab.results import MetricResult, NetworkName, append_results, newest, read_results


def result(**fields):
    network = NetworkName(name="net", sha256="a" * 64)
    given = {
        "metric": "ls_z",
        "value": 2.0,
        "ci95": (1.0, 3.0),
        "num_samples": 10,
        "seed": 0,
        "protocol": {"name": "x"},
    }
    return MetricResult(**{**given, "network": network, **fields})


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    first, second = result(), result(value=4.0)
    append_results(path, [first])
    append_results(path, [second])
    assert read_results(path) == [first, second]
    assert newest(read_results(path)) == {"ls_z": second}
    assert {"python", "torch", "latentlab"} <= first.software.keys()


def test_numbers_that_are_none_are_null(tmp_path):
    append_results(tmp_path / "r.jsonl", [result(value=math.inf, ci95=(math.nan, 3.0))])
    line = json.loads((tmp_path / "r.jsonl").read_text())
    assert (line["value"], line["ci95"]) == (None, [None, 3.0])
    assert read_results(tmp_path / "r.jsonl")[0].value is None


def test_comparability_is_the_protocol():
    assert result().comparable_with(result(seed=1, value=9.0))
    assert not result().comparable_with(result(protocol={"name": "y"}))


def test_unfinished_last_line_is_left_out_and_removed_by_the_next(tmp_path):
    path = tmp_path / "r.jsonl"
    append_results(path, [result()])
    with path.open("a") as file:
        file.write('{"metric": "ls_')
    assert len(read_results(path)) == 1
    append_results(path, [result(value=5.0)])
    assert [r.value for r in read_results(path)] == [2.0, 5.0]


def test_other_lines_are_errors(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"metric": 1}\n')
    with pytest.raises(DataError, match=r"r.jsonl, line 1: not a result line"):
        read_results(path)
    with pytest.raises(DataError, match="no such results file"):
        read_results(tmp_path / "none.jsonl")
    with pytest.raises(ValidationError):
        result(extra=1)

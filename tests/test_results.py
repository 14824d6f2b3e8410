"""Results as JSON lines."""

import json
import math

import pytest
from pydantic import ValidationError

from latentlab.errors import DataError, UsageError
from latentlab.results import MetricResult, NetworkName, append_results, check_results_file, newest, read_results


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


@pytest.mark.parametrize(
    "content", [b"no results", b"no\nresults\n", b"\xff\x00PNG", b'{\n  "a": 1\n}', b'{"a": 1}\n{"metric":']
)
def test_files_of_other_kinds_are_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"notes.txt, line 1: not a result line .* name another with --results"):
        check_results_file(path)
    with pytest.raises(DataError, match="not a result line"):
        append_results(path, [result()])
    assert path.read_bytes() == content


def test_a_last_line_that_only_lacks_its_end_is_kept(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(result().model_dump_json())
    check_results_file(path)
    append_results(path, [result(value=5.0)])
    assert [r.value for r in read_results(path)] == [2.0, 5.0]


def test_checking_leaves_nothing_behind(tmp_path):
    check_results_file(tmp_path / "deep" / "er" / "r.jsonl")
    assert not list(tmp_path.iterdir())
    path = tmp_path / "r.jsonl"
    append_results(path, [result()])
    with path.open("a") as file:
        file.write('{"metric": "ls_')
    before = path.read_bytes()
    check_results_file(path)
    assert path.read_bytes() == before


def test_places_where_nothing_can_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path, "is no file: results are appended to one of JSON lines"),
        (tmp_path / "file" / "r.jsonl", r"cannot be written to .*Not a directory"),
        ("/proc/none/r.jsonl", "results cannot be written to /proc/none/r.jsonl"),
    ):
        with pytest.raises(UsageError, match=message):
            check_results_file(path)


def test_names_may_hold_any_character(tmp_path):
    odd = result(protocol={"name": "line\u2028separator\x85"})
    append_results(tmp_path / "r.jsonl", [odd])
    assert read_results(tmp_path / "r.jsonl") == [odd]

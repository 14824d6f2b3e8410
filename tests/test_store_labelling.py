"""Scores of somebody else's model, joined by sample number."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny_store import EVERYTHING, SETTINGS, all_rows, foreign, write

from latentlab.errors import DataError, OutputExistsError, ProbabilitiesWarning, UsageError
from latentlab.files import file_sha256
from latentlab.metrics.separability import separability_results
from latentlab.store import LatentStore
from latentlab.store.checking import check_store
from latentlab.store.labelling import LIMIT, label_with_scores

STORE = replace(EVERYTHING, first_row=100)


def table(**columns):
    random = np.random.default_rng(0)
    scores = {"sample": np.arange(100, 110), "Happy": random.normal(size=10), "Old": random.normal(size=10)}
    return pd.DataFrame({**scores, **columns})


def save(path, frame):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_scores_replace_the_logits_and_the_rest_stays(tmp_path, suffix):
    run = write(tmp_path / "run.h5", STORE)
    before = run.read_bytes()
    scores = save(tmp_path / f"mine.{suffix}", table().sample(frac=1, random_state=0))
    made = label_with_scores(run, scores)
    assert (made.path, made.attributes, made.num_samples, made.num_clipped) == (
        tmp_path / "run-mine.h5", ("Happy", "Old"), 10, 0,
    )  # fmt: skip
    assert run.read_bytes() == before
    with LatentStore.open(made.path) as store:
        np.testing.assert_array_equal(store.logits, table()[["Happy", "Old"]].to_numpy().astype(np.float32))
        for name, rows in all_rows(STORE).items():
            assert name == "logits" or np.array_equal(getattr(store, name)[:], rows), name
        assert store.settings.classifiers == {"name": "mine", "sha256": file_sha256(scores)}
        expected = replace(STORE, classifiers=store.settings.classifiers, attributes=("Happy", "Old"), resize="unknown")
        assert replace(store.settings, sources=()) == expected
        (source,) = store.settings.sources
        assert (source["file"], source["resize"], source["attributes"]) == (
            "run.h5", "box 64 -> 32", ["Male", "Smiling"],
        )  # fmt: skip
        assert source["classifiers"] == STORE.classifiers
    assert check_store(made.path).findings == ()
    with pytest.raises(OutputExistsError):
        label_with_scores(run, scores)


def test_a_store_without_logits_can_be_measured_then(tmp_path):
    random = np.random.default_rng(0)
    z = random.normal(size=(400, 4))
    run = foreign(tmp_path / "run.h5", z=z)
    scores = save(tmp_path / "mine.csv", pd.DataFrame({"sample": range(400), "Right": 5 * z[:, 0]}))
    made = label_with_scores(run, scores, tmp_path / "labelled.h5", name="my model")
    with LatentStore.open(made.path) as store:
        (result,) = separability_results(store, bootstrap=20)
        assert result.value == pytest.approx(1, abs=0.2)
        assert store.settings.classifiers is not None
        assert store.settings.classifiers["name"] == "my model"


def test_probabilities_become_finite_log_odds(tmp_path):
    run = write(tmp_path / "run.h5", STORE)
    happy = np.array([0, 1, 0.5, 0.9, 1e-300, 0.25, 1e-30, 0.1, 0.2, 0.3])
    scores = save(tmp_path / "mine.parquet", table(Happy=happy, Old=np.full(10, 0.75)))
    made = label_with_scores(run, scores, probabilities=True)
    assert made.num_clipped == 3
    with LatentStore.open(made.path) as store:
        logits = store.logits
    assert np.isfinite(logits).all()
    assert abs(LIMIT - 87.3365) < 1e-3
    np.testing.assert_allclose(logits[[0, 1, 4], 0], [-LIMIT, LIMIT, -LIMIT], rtol=1e-6)
    np.testing.assert_allclose(logits[[2, 3, 5, 6], 0], [0, np.log(9), -np.log(3), -30 * np.log(10)], atol=1e-5)
    np.testing.assert_allclose(logits[:, 1], np.log(3), rtol=1e-6)


def test_numbers_are_read_as_people_write_them(tmp_path):
    """Spaces after commas, sample numbers with a point, a sample column that is the index, suffixes in capitals."""
    run = write(tmp_path / "run.h5", STORE)
    lines = ["Happy, sample", *(f"{row}.5, {100 + row}.0" for row in range(10))]
    (tmp_path / "a.CSV").write_text("\n".join(lines))
    table().set_index("sample").to_parquet(tmp_path / "b.parquet")
    with LatentStore.open(label_with_scores(run, tmp_path / "a.CSV").path) as store:
        assert list(store.logits[:, 0]) == [row + 0.5 for row in range(10)]
    assert label_with_scores(run, tmp_path / "b.parquet").attributes == ("Happy", "Old")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table().iloc[:7], "lacks samples of the store: 107, 108, 109.* each of the samples 100 to 109"),
        (table().iloc[:2], "lacks samples of the store: 102, 103, 104, 105, 106 and 3 more"),
        (pd.concat([table(), table().iloc[[4]]]), "has samples more than once: 104"),
        (table(sample=np.arange(101, 111)), "has samples that the store lacks: 110"),
        (table(sample=[*np.arange(100, 109), 108.5]), "sample numbers must be whole, not 108.5"),
        (table(sample=[*"abcdefghij"]), r"column sample must hold finite numbers only, not a \(row 1\), .* 5 more"),
        (table(Old=[0.5] * 8 + ["high", "low"]), r"column Old .* not high \(row 9\), low \(row 10\)"),
        (table(Old=[0.5] * 9 + [np.nan]), r"column Old .* not nan \(row 10\)"),
        (table(Old=[0.5] * 9 + [np.inf]), r"column Old .* not inf \(row 10\)"),
        (table(Old=[0.5] * 9 + [1e300]), "column Old has scores too large for float32: 1e\\+300"),
        (table()[["sample"]], "no column of scores beside `sample`"),
        (table().rename(columns={"sample": "id"}), "no column `sample` .*; its columns are id, Happy, Old"),
    ],
)
def test_scores_that_cannot_be_used_are_named(tmp_path, frame, message):
    run = write(tmp_path / "run.h5", STORE)
    with pytest.raises(DataError, match=message):
        label_with_scores(run, save(tmp_path / "mine.csv", frame))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.csv", "run.h5"]


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_probabilities_must_be_probabilities(tmp_path, value):
    run = write(tmp_path / "run.h5", STORE)
    scores = save(tmp_path / "mine.csv", table(Happy=[0.5] * 9 + [value], Old=0.5))
    with pytest.raises(DataError, match=rf"column Happy has {value}; with --probabilities scores must be in \[0, 1\]"):
        label_with_scores(run, scores, probabilities=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", "sample,Old,Old\n100,1,2\n", "names a column more than once: Old"),
        ("mine.csv", "sample,Old\n100,1,2\n101,1,2\n", "cannot be read as csv"),
        ("mine.csv", "sample,Old\n100,1\n101,1,2\n", "cannot be read as csv"),
        ("mine.csv", "", "cannot be read as csv"),
        ("mine.csv", "sample,Old\n", "lacks samples of the store"),
        ("mine.csv", "sample;Old\n100;1\n", "its columns are sample;Old"),
        ("mine.parquet", "no Parquet", "cannot be read as parquet"),
    ],
)
def test_tables_that_cannot_be_read_are_named(tmp_path, name, content, message):
    run = write(tmp_path / "run.h5", STORE)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        label_with_scores(run, tmp_path / name)


def test_wrong_files_are_wrong_use(tmp_path):
    run = write(tmp_path / "run.h5", SETTINGS)
    with pytest.raises(UsageError, match=r"scores must be a .csv or a .parquet file"):
        label_with_scores(run, tmp_path / "mine.txt")
    with pytest.raises(UsageError, match="no such file of scores"):
        label_with_scores(run, tmp_path / "mine.csv")


def test_the_index_of_a_table_is_no_attribute(tmp_path):
    run = write(tmp_path / "run.h5", SETTINGS)
    scores = tmp_path / "scores.csv"
    pd.DataFrame({"sample": range(SETTINGS.num_samples), "Male": 2.5}).to_csv(scores)
    with pytest.raises(DataError, match=r"column 1 has no name.*index=False"):
        label_with_scores(run, scores)


def test_probabilities_that_are_taken_for_log_odds_are_suspected(tmp_path):
    run = write(tmp_path / "run.h5", SETTINGS)
    scores = tmp_path / "scores.csv"
    pd.DataFrame({"sample": range(SETTINGS.num_samples), "Male": 0.5}).to_csv(scores, index=False)
    with pytest.warns(ProbabilitiesWarning, match="lie between 0 and 1.*--probabilities"):
        label_with_scores(run, scores)

"""What a report says of the worth of separability scores."""

import json

import h5py
import numpy as np
import pytest

from latentlab.metrics.separability import separability_results
from latentlab.report import read_run, render_report
from latentlab.report.comparison import compare
from latentlab.report.sentences import headline
from latentlab.report.separability import sample_curve, worth
from latentlab.results import append_results
from latentlab.store import LatentStore


@pytest.fixture
def folder(tmp_path):
    """A run folder with a store in which W is half Z, so that attributes of the other half are lost."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 6)).astype(np.float32)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["z"], file["w"] = z, z[:, :3]
        file["logits"] = (z @ rng.normal(size=(6, 4)) + rng.normal(size=(2000, 4))).astype(np.float32)
    (tmp_path / "config.json").write_text(json.dumps({"generator": {"mapping_layers": 2, "use_styles": True}}))
    return tmp_path


def measured(folder, **how):
    with LatentStore.open(folder / "run.h5") as store:
        append_results(folder / "results.jsonl", separability_results(store, bootstrap=50, **how))
    return read_run(folder)


def test_everything_that_was_measured_is_said(folder):
    run = measured(folder, held_out=0.25, permutations=2, curve=True)
    ratio, held_out, nothing = worth(run)
    assert "in the 4 attributes valid in both" in ratio
    assert ratio.endswith("; W is the more entangled.")
    assert held_out.startswith("On the 25 % of the samples that were held out of the fits: ")
    assert nothing.count("fitted to shuffled labels") == 2
    drawn = sample_curve(run)
    assert drawn is not None
    assert "3 in Z and 3 in W" in drawn.alt
    render_report([run], folder / "report")
    page = (folder / "report" / "index.html").read_text()
    assert "W is the more entangled" in page
    assert "Separability by the number of samples" in page


def test_too_few_samples_per_dimension_settle_nothing(folder):
    with h5py.File(folder / "run.h5", "r+") as file:
        for field in ("z", "w", "logits"):
            few = file[field][:40]
            del file[field]
            file[field] = few
    run = measured(folder)
    assert worth(run)[0].endswith("too few samples per dimension for a verdict.")
    assert compare(run.shown["ls_w"], run.shown["ls_z"]).verdict == "open"
    said = headline(run)
    assert "it is open in which space its attributes separate better" in said
    assert said.endswith("; too few samples per dimension for a verdict.")


def test_what_was_not_measured_is_not_said(folder):
    run = measured(folder)
    assert [sentence.partition(" ")[0] for sentence in worth(run)] == ["Score", "Planes"]
    assert sample_curve(run) is None
    empty = read_run(folder)
    empty.results.clear()
    assert worth(empty) == []

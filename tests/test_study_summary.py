"""A study's tables from results: means and intervals over seeds, attributes in common, orderings and their words."""

import math

import pandas as pd
import pytest
from scipy import stats

from latentlab.errors import UsageError
from latentlab.report.sections import Measured, SectionTable
from latentlab.report.table_formats import to_latex
from latentlab.results import MetricResult, NetworkName
from latentlab.study import make_recipe
from latentlab.study.reporting import forest, section
from latentlab.study.summary import Summaries
from latentlab.study.wording import cell, notes, short, substitutes, titles

ROWS = [{"generator": "style-0", "space": "z"}, {"generator": "style-8", "space": "w"}]


def recipe(*measures, seeds=3, **given):
    table = {"name": "t", "title": "Two", "measures": list(measures), "rows": ROWS}
    return make_recipe([], given={"table": [table], **given}, seeds=seeds, threads=1)


def result(metric, value, ci95=(None, None), **details):
    return MetricResult(
        metric=metric,
        value=value,
        ci95=ci95,
        num_samples=1000,
        seed=0,
        network=NetworkName(name="n", sha256="0" * 64),
        protocol={},
        details=details,
    )


def attributes(*bits, names="abcdefgh", width=0.02):
    """Rows of an attribute table; None for an attribute that could not be scored."""
    return [
        {"name": name, "valid": one is not None, "conditional_entropy_bits": one,
         "ci95": None if one is None else [one - width, one + width]}
        for name, one in zip(names, bits, strict=False)
    ]  # fmt: skip


class Found:
    """Stands for the checker: results by (generator, space, measure, seed)."""

    def __init__(self, values):
        self.values = values

    def result(self, job, measure, space):
        return self.values.get((job.variant.name, space, measure, job.seed))


def summary(made, values):
    return Summaries(Found(values), made).of(made.tables[0])


def paths(low, high, z=None):
    """Path lengths of style-8 in W (and Z), and of style-0, by seed."""
    values = {("style-8", "w", "end", seed): result("ppl_wend", one) for seed, one in enumerate(low)}
    values |= {("style-0", "z", "end", seed): result("ppl_zend", one) for seed, one in enumerate(high)}
    return values | {("style-8", "z", "end", seed): result("ppl_zend", one) for seed, one in enumerate(z or high)}


def test_cells_are_geometric_means_with_students_t_of_the_logarithms():
    found = summary(recipe("end"), paths([10, 20, 40], [50, 50, 50]))
    one = found.lines[1].cells["end"]
    logs = [math.log(value) for value in (10, 20, 40)]
    low, high = stats.t.interval(0.95, 2, loc=sum(logs) / 3, scale=stats.sem(logs))
    assert one.value == pytest.approx(20)
    assert one.ci95 == pytest.approx((math.exp(low), math.exp(high)))


def test_with_one_seed_the_interval_is_the_measurements():
    made = recipe("end", seeds=1)
    values = {("style-8", "w", "end", 0): result("ppl_wend", 10.0, (9.0, 11.0))}
    assert summary(made, values).lines[1].cells["end"].ci95 == (9.0, 11.0)


def test_orderings_are_judged_by_the_ratios_interval_over_seeds():
    found = summary(recipe("end"), paths([10, 11, 12], [20, 23, 24], z=[30, 31, 29]))
    claims = {one.claim: one for one in found.statements}
    deeper = claims["8 layers below none"]
    logs = [math.log(a / b) for a, b in ((10, 20), (11, 23), (12, 24))]
    t = stats.ttest_1samp(logs, 0)
    assert deeper.verdict == "holds"
    assert deeper.p_value == pytest.approx(t.pvalue)
    assert deeper.ci95 == pytest.approx(tuple(map(math.exp, t.confidence_interval(0.95))))
    assert (deeper.held, deeper.seeds) == (3, 3)
    assert claims["W of style-8 below its Z"].verdict == "holds"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        ([10, 11, 12], [20, 23, 24], "holds"),
        ([20, 23, 24], [10, 11, 12], "does not hold"),
        ([10, 30, 20], [20, 21, 22], "open"),
    ],
)
def test_verdicts(low, high, verdict):
    (one,) = (s for s in summary(recipe("end"), paths(low, high)).statements if s.claim == "8 layers below none")
    assert one.verdict == verdict


def test_seeds_are_compared_pair_by_pair():
    apart = summary(recipe("end"), paths([10, 100, 1000], [12, 121, 1190]))
    (one,) = (s for s in apart.statements if s.claim == "8 layers below none")
    assert one.verdict == "holds"
    assert one.ratio == pytest.approx(1 / 1.2, rel=0.01)


def test_one_seed_is_judged_by_both_measurements():
    made = recipe("end", seeds=1)
    values = {
        ("style-8", "w", "end", 0): result("ppl_wend", 10.0, (9.0, 11.1)),
        ("style-0", "z", "end", 0): result("ppl_zend", 12.0, (9.6, 15.0)),
    }
    (one,) = summary(made, values).statements
    errors = [(math.log(high) - math.log(low)) / (2 * 1.959964) for low, high in ((9.0, 11.1), (9.6, 15.0))]
    assert one.p_value == pytest.approx(2 * stats.norm.sf(math.log(1.2) / math.hypot(*errors)))
    assert one.verdict == "open"


def test_separability_is_over_the_attributes_scored_everywhere():
    made = recipe("separability", seeds=1)
    values = {
        ("style-8", "w", "separability", 0): result("ls_w", 1.0, attributes=attributes(0.5, 0.25, None, 0.125)),
        ("style-8", "z", "separability", 0): result("ls_z", 1.0, attributes=attributes(0.5, 0.5, None, 0.5)),
        ("style-0", "z", "separability", 0): result("ls_z", 1.0, attributes=attributes(0.5, None, 0.5, 0.75)),
    }
    found = summary(made, values)
    assert found.attributes == ("a", "d")
    assert found.num_attributes == 4
    one = found.lines[1].cells["separability"]
    assert one.value == pytest.approx(2**0.625)
    half = math.hypot(0.02, 0.02)
    assert one.ci95 == pytest.approx((2 ** (0.625 - half), 2 ** (0.625 + half)))
    assert "over the 2 of 4 attributes" in " ".join(notes(found, 1))


def test_without_common_attributes_it_says_so():
    made = recipe("separability", seeds=1)
    values = {
        ("style-8", "w", "separability", 0): result("ls_w", 1.0, attributes=attributes(0.5, None)),
        ("style-0", "z", "separability", 0): result("ls_z", 1.0, attributes=attributes(None, 0.5)),
    }
    found = summary(made, values)
    assert cell(found.lines[0].cells["separability"]) == "–"
    assert any("No attribute can be scored in every row" in words for words in notes(found, 1))
    assert found.missing == ()


def test_what_is_not_measured_is_listed():
    found = summary(recipe("end", "full"), paths([10, 11], [20, 22]))
    assert "style-8 in W, end: 1 of 3 seeds" in found.missing
    assert "style-0 in Z, full: 3 of 3 seeds" in found.missing


def test_the_papers_numbers_speak_for_or_against_an_ordering():
    table = make_recipe(["4"], threads=1)
    values = {}
    for name, space, value in (("style-8", "w", 30.0), ("style-2", "w", 20.0), ("style-1", "w", 25.0)):
        values[name, space, "full", 0] = result("ppl_wfull", value, (value - 0.1, value + 0.1))
    claims = {one.claim: one for one in summary(table, values).statements if one.measure == "full"}
    assert short(claims["8 layers below 2"]) == "does not hold\n1.5\n[1.49, 1.51]\npaper: no"  # 234.0 against 217.8
    assert short(claims["2 layers below 1"]) == "holds\n0.8\n[0.795, 0.805]"


def test_stand_ins_are_named_where_the_numbers_are():
    made = recipe("fid", "end", "separability")
    found = summary(made, {})
    assert titles(made)["fid"] == "FD*"
    assert titles(made)["end"] == "PPL end*"
    assert [words.split(":")[0] for words in substitutes(made, found)] == ["FD*", "PPL*"]
    genuine = recipe("fid", "end", measuring={"distance": "lpips-vgg", "features": "inception"})
    assert titles(genuine)["fid"] == "FID"
    assert list(substitutes(genuine, found)) == []


def test_the_section_has_numbers_orderings_and_their_picture():
    made = recipe("end")
    found = summary(made, paths([10, 11, 12], [20, 23, 24]))
    built = section(found, made)
    numbers, orderings, _ = built.tables
    row = numbers.content.iloc[1]
    assert isinstance(row["PPL end*"], Measured)
    assert row["PPL end*"].num_samples == 3
    assert list(orderings.content["verdict"]) == [one.verdict for one in found.statements]
    (figure,) = built.figures
    assert "8 layers below none: holds" in figure.alt
    assert forest([], "PPL") is None


def test_cells_of_fewer_trainings_say_of_how_many():
    values = paths([10, 11, 12], [20, 23, 24])
    del values["style-8", "w", "end", 2]
    found = summary(recipe("end"), values)
    assert cell(found.lines[1].cells["end"], 3).endswith("n = 2")
    assert "n =" not in cell(found.lines[0].cells["end"], 3)
    said = list(notes(found, 3))
    assert said[0].startswith("Geometric means of up to 3 trainings")
    assert said[1].startswith("Cells of fewer trainings say of how many (n)")
    assert section(found, recipe("end")).tables[0].content.iloc[1]["PPL end*"].num_samples == 2


def test_with_one_training_so_far_nothing_is_said_of_means():
    first = {key: value for key, value in paths([10], [20]).items() if key[3] == 0}
    said = list(notes(summary(recipe("end"), first), 3))
    assert said[0].startswith("So far one training each, of 3")
    assert not any("means" in words for words in said)


def test_every_training_stands_in_a_table_of_its_own():
    made = recipe("end")
    single = section(summary(made, paths([10, 11, 12], [20, 23, 24])), made).tables[-1]
    assert single.title == "Table t: every training"
    assert list(single.content["seed"]) == [0, 1, 2, 0, 1, 2]
    assert [one.value for one in single.content["value"]] == [20, 23, 24, 10, 11, 12]


def test_trainings_that_are_alike_to_the_last_digit_give_no_certainty():
    (same,) = (
        s for s in summary(recipe("end"), paths([5] * 3, [5] * 3)).statements if s.claim == "8 layers below none"
    )
    assert (same.ratio, same.ci95, same.p_value, same.verdict) == (1, None, None, "open")


@pytest.mark.parametrize(("kept", "verdict"), [(1599, "open"), (1600, "holds")])
def test_separability_of_few_samples_per_dimension_is_not_judged(kept, verdict):
    made = recipe("separability", seeds=1)
    values = {}
    for name, space, bits in (("style-8", "w", 0.1), ("style-8", "z", 0.9), ("style-0", "z", 0.9)):
        one = result(f"ls_{space}", 2**bits, attributes=attributes(bits), num_dims=32)
        values[name, space, "separability", 0] = one.model_copy(update={"protocol": {"num_keep": kept}})
    found = summary(made, values)
    assert {one.verdict for one in found.statements} == {verdict}
    assert any("fewer than 50 samples were kept" in words for words in notes(found, 1)) == (verdict == "open")


def test_a_number_that_could_not_be_taken_is_listed_as_missing():
    values = paths([10, 11, 12], [20, 23, 24])
    values["style-8", "w", "end", 1] = result("ppl_wend", None)
    assert summary(recipe("end"), values).missing == ("style-8 in W, end: 1 of 3 seeds",)


def test_a_table_without_any_number_is_written_all_the_same():
    made = recipe("end")
    (empty,) = section(summary(made, {}), made).tables
    assert "style-8" in to_latex(empty, "x")
    assert "not measured" not in to_latex(SectionTable("nothing", pd.DataFrame()), "y")


def test_orderings_of_a_table_of_ones_own_are_looked_at():
    rows = [{**ROWS[0], "label": "none"}, {**ROWS[1], "label": "eight"}]
    table = {"name": "t", "title": "Two", "measures": ["end"], "rows": rows, "orderings": [["eight", "none"]]}
    made = make_recipe([], given={"table": [table]}, seeds=3, threads=1)
    claims = {one.claim: one for one in summary(made, paths([10, 11, 12], [20, 23, 24])).statements}
    assert claims["eight below none"].verdict == "holds"
    assert claims["eight below none"].ratio == claims["8 layers below none"].ratio
    with pytest.raises(UsageError, match="orderings: no rows are called four, of none, eight"):
        make_recipe([], given={"table": [{**table, "orderings": [["four", "none"]]}]}, threads=1)

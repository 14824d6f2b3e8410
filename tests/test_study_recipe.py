"""Recipes of studies: what they say, and what is refused."""

import re

import pytest

from latentlab.errors import OutputExistsError, UsageError
from latentlab.study import TABLES, make_recipe, read_recipe
from latentlab.study.folder import StudyFolder, jobs_of
from latentlab.study.recipe import difference, joined

ROW = {"generator": "style-8", "space": "w"}
TABLE = {"name": "mine", "title": "Mine", "measures": ["full"], "rows": [ROW]}


def recipe(**given):
    return make_recipe([], given=given, threads=1)


def test_the_paper_names_each_generator_once_and_tables_share_them():
    names = [variant.name for variant in recipe().generators]
    assert len(names) == len(set(names))
    assert set(names) == {
        "A-0", "traditional-0", "traditional-8", "C-8", "D-8", "E-8", "style-0", "style-1", "style-2", "style-8",
        "style-8-mixing50", "style-8-mixing100",
    }  # fmt: skip


@pytest.mark.parametrize(("table", "rows"), [("1", 6), ("2", 4), ("3", 5), ("4", 7)])
def test_tables_have_the_papers_rows_each_with_all_its_numbers(table, rows):
    found = TABLES[table]
    assert len(found.rows) == rows
    assert all(set(row.paper) == set(found.measures) for row in found.rows)


def test_published_numbers():
    by_label = {row.label: row for row in TABLES["2"].rows}
    assert by_label["mixing in training 90 %"].paper["fid_mixed4"] == 9.03
    d = next(row for row in TABLES["3"].rows if row.generator == "D-8")
    assert d.paper == {"full": 446.2, "end": 376.6, "separability": 3.61}


def test_every_job_comes_after_those_it_waits_for():
    seen = set()
    for job in jobs_of(make_recipe([], seeds=2, threads=1)):
        assert {*job.needs, *job.after} <= seen
        seen.add(job.name)


def test_table_1_alone_needs_no_samples():
    kinds = {job.kind for job in jobs_of(make_recipe(["1"], threads=1))}
    assert kinds == {"classifiers", "train", "fid", "figures"}
    paper = make_recipe(["1"], preset="paper", threads=1)
    assert {job.kind for job in jobs_of(paper)} == {"train", "fid", "figures"}


def test_settings_come_from_the_preset_then_the_file_then_the_command():
    given = {"preset": "small", "measuring": {"pairs": 77, "samples": 88}}
    made = make_recipe([], given=given, settings={"measuring": {"pairs": 5, "images": None}}, threads=3)
    assert (made.measuring.pairs, made.measuring.samples, made.measuring.images) == (5, 88, 10_000)
    assert (made.training.preset, made.threads) == ("small", 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"table": [{**TABLE, "rows": [ROW, ROW]}]}, "the row of style-8 in w stands there twice"),
        ({"table": [{**TABLE, "rows": [{"generator": "style-0", "space": "w"}]}]}, "has no mapping network"),
        ({"table": [{**TABLE, "rows": [{"generator": "style-8"}]}]}, "needs space z or w, for full"),
        ({"table": [{**TABLE, "rows": [{"generator": "nobody", "space": "z"}]}]}, "no generator is called nobody"),
        ({"table": [{**TABLE, "measures": ["speed"]}]}, "tables.0.measures.0 = 'speed'"),
        ({"table": [{**TABLE, "rows": []}]}, "tables.0.rows"),
        ({"table": [TABLE, TABLE | {"title": "Other"}]}, r"\[\[table\]\] mine stands there twice"),
        (
            {"table": [{**TABLE, "measures": ["fid_mixed2"], "rows": [{"generator": "traditional-0"}]}]},
            "has no styles, so latents cannot be mixed",
        ),
        (
            {
                "generator": [
                    {"name": "x", "config": "F", "mapping_depth": 4},
                    {"name": "x", "config": "D", "mapping_depth": 4},
                ]
            },
            r"\[\[generator\]\] x stands there twice",
        ),
        (
            {"generator": [{"name": "style-8", "config": "F", "mapping_depth": 4}]},
            r"\[\[generator\]\] style-8 is one of the paper's",
        ),
        (
            {
                "generator": [{"name": "x", "config": "B", "mapping_depth": 0, "mixing": 0.5}],
                "table": [{**TABLE, "rows": [{"generator": "x", "space": "z"}]}],
            },
            "configuration B has no styles to mix",
        ),
        ({"seeds": 0}, "seeds 0: expected how many"),
        ({"seeds": [1, 1]}, "seed 1 stands there twice"),
        ({"measuring": {"pairs": 1}}, "measuring.pairs = 1"),
        ({"measuring": {"pears": 10}}, "measuring.pears = 10"),
        ({"measuring": 3}, "must be a table of settings"),
        ({"preset": "huge"}, "unknown preset 'huge'"),
    ],
)
def test_contradictions_are_named(given, words):
    with pytest.raises(UsageError, match=words):
        recipe(**given)


def test_a_table_that_does_not_exist():
    with pytest.raises(UsageError, match=r"--table 7: expected some of 1, 2, 3, 4, or all"):
        make_recipe(["7"], threads=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "No such file"), ("[measuring", "not a TOML file"), ("colour = 3", "there is no 'colour'")],
)
def test_files_that_are_no_recipe(tmp_path, text, words):
    path = tmp_path / "recipe.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_recipe(path)


def test_a_folder_of_another_recipe_is_refused_with_the_setting(tmp_path):
    folder = StudyFolder(tmp_path / "s")
    folder.begin(make_recipe(["4"], threads=1))
    folder.run("style-8-seed0").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"measuring.pairs is 1000 there and 9 here"):
        folder.begin(make_recipe(["4"], settings={"measuring": {"pairs": 9}}, threads=1))
    assert folder.read() == make_recipe(["4"], threads=1)


def test_tables_and_seeds_can_be_added(tmp_path):
    folder = StudyFolder(tmp_path / "s")
    folder.begin(make_recipe(["4"], threads=1))
    both = folder.begin(make_recipe(["3"], seeds=2, threads=1))
    assert [table.name for table in both.tables] == ["4", "3"]
    assert both.seeds == (0, 1)
    assert folder.begin(make_recipe(["4"], threads=1)) == both == folder.read()


def test_a_table_of_the_same_name_must_be_the_same():
    one, other = (recipe(table=[{**TABLE, "measures": [measure]}]) for measure in ("full", "end"))
    assert difference(one, other) == "the table mine has other settings there"
    assert joined(one, one) == one


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(OutputExistsError, match="holds photos, which no study wrote"):
        StudyFolder(tmp_path).begin(recipe())
    assert not (tmp_path / "study.json").exists()


def test_a_damaged_study_file_is_not_overwritten(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(Exception, match=re.escape(str(tmp_path / "study.json"))):
        StudyFolder(tmp_path).begin(recipe())
    assert (tmp_path / "study.json").read_text() == "{"

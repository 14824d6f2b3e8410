"""The paragraph on methods, which says what the results' protocols say, and the works that it cites."""

import re
from typing import Any

import pytest
from test_report import changed, ppl, separability, style_results, traditional_results, with_results, write_run
from test_report_disentanglement import number as disentangled
from test_report_measurements import PUBLISHED, fid

from latentlab.report import ReportRun, read_run
from latentlab.report.citations import WORKS, bibliography, cited, in_words, with_citations
from latentlab.report.contents import gather
from latentlab.report.departures import substitutes
from latentlab.report.methods import methods
from latentlab.report.sections import Section


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "style-8", results=style_results()))


def said(run: ReportRun, *results: Any) -> str:
    return "\n".join(methods([with_results(run, *results)], []))


def test_path_lengths_are_told_by_their_protocol(run: ReportRun) -> None:
    published = changed(ppl("ppl_wend", 200.0), **PUBLISHED, outliers="lower, higher", truncation="none")
    text = said(run, published.model_copy(update={"details": {"bootstrap": 1000}}))
    for words in (
        "Compared are style-8 (style-based, 8 mapping layers; trained on faces32, 13,000 images, 32×32; 60,000 images",
        "Perceptual path length (end in W) [@karras2019style] was measured under LatentLab’s protocol stylegan:",
        "20,000 pairs of latents each; by finite differences with a step of 0.0001; lerp in W; crop: face;",
        "Outliers: lower, higher.",
        "The distance between images is LPIPS with VGG16 [@zhang2018unreasonable, @simonyan2015very].",
        "a bootstrap over pairs (1,000 resamples) [@efron1979bootstrap]",
        "Seeds of the measurements: 0. Software: LatentLab ",
        "PyTorch 2",
    ):
        assert words in text, words
    assert "in place of LPIPS" not in text
    assert "Linear separability" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lpips-squeeze", "is lpips-squeeze [@zhang2018unreasonable], in place of LPIPS with VGG16."),
        ("classifier:quick", "features of attribute classifiers (classifier:quick), in place of LPIPS with VGG16"),
        ("mine.distance", "is mine.distance, in place of LPIPS with VGG16 [@zhang2018unreasonable]."),
    ],
)
def test_substitutes_for_the_distance_are_named(run: ReportRun, name: str, words: str) -> None:
    assert words in said(run, changed(ppl("ppl_zfull", 200.0), distance={"name": name}))


def test_settings_that_differ_are_all_named(run: ReportRun) -> None:
    one, other = ppl("ppl_zfull", 200.0), changed(ppl("ppl_wfull", 100.0, num_samples=500), epsilon=1e-3)
    text = said(run, one, other)
    assert "(full in Z and full in W)" in text
    assert "500 or 20,000 pairs of latents" in text
    assert "with a step of 0.0001 or 0.001; slerp in Z and lerp in W" in text
    ada = said(run, changed(one, name="stylegan2-ada"))
    assert "protocol stylegan2-ada [@karras2020training]:" in ada


def test_separability_is_told_by_its_protocol(run: ReportRun) -> None:
    text = said(run, separability("ls_z", 0.3), separability("ls_w", 0.1))
    assert "was measured in Z and W from 20,000 samples, of which the 10,000 with the most confident labels" in text
    assert "labels by the classifiers shared-32" in text
    assert "over 39 of 40 attributes of CelebA [@liu2015deep]" in text
    assert "liblinear" not in text
    assert "refitted" not in text
    other = changed(separability("ls_z", 0.3), solver="liblinear-dual", C=1.0)
    other = other.model_copy(update={"details": {**other.details, "refits": {"groups": 10}}})
    text = said(run, other)
    assert "C = 1.0) was fitted by the solver liblinear-dual [@fan2008liblinear]" in text
    assert "where said, they were refitted" in text


LATENTLAB = {"solver": "newton", "confidence": "log-odds", "one_class": "invalid"}
OFFICIAL = {"solver": "liblinear", "confidence": "stylegan", "one_class": "entropy 0"}


def test_other_rules_of_separability_than_the_authors_are_told(run: ReportRun) -> None:
    own, official = (changed(separability("ls_z", 0.3), **rules) for rules in (LATENTLAB, OFFICIAL))
    words = ("by Newton’s method to convergence", "of the largest log-odds", "left out of the score. In the authors’")
    for told in (said(run, own), " ".join(substitutes([with_results(run, own)], []))):
        assert [told.count(word) for word in words] == [1, 1, 1]
    assert "authors’ code" not in said(run, official)
    dual = changed(separability("ls_z", 0.3), **OFFICIAL | {"solver": "liblinear-dual", "confidence": "log-odds"})
    assert [word in said(run, dual) for word in words] == [False, True, False]


def test_other_images_and_features_than_fids_are_told(run: ReportRun) -> None:
    few = fid("fid5k", 5.0, num_samples=5000)
    assert "5,000 generated and 30,000 real, where the paper takes 50,000 of each." in said(run, few)
    assert "where the paper takes 50,000" not in said(run, fid("fid50k", 5.0))  # all the real images that there are
    some = {"name": "faces", "num_images": 30_000, "of": 70_000}
    assert "50,000 generated and 30,000 real, where" in said(run, changed(fid("fid50k", 5.0), real=some))
    other = changed(fid("fd_classifiers50k", 5.0), features={"name": "classifier:quick"})
    assert "Features of distances to real images: classifier:quick, in place of FID’s Inception" in said(run, other)
    assert "Features of distances to real images" not in said(run, few)


def test_the_rule_of_intervals_is_that_of_single_runs_where_there_are_other_sections(run: ReportRun) -> None:
    runs = [with_results(run, separability("ls_z", 0.3))]
    section = Section("Over seeds", "over-seeds", ["Ratios decide."])
    alone, beside = (" ".join(gather("A", runs, sections=extra).methods) for extra in ((), (section,)))
    assert "In a comparison of two numbers, one number is called lower than another only where" in alone
    assert "In tables of single runs, one number is called lower than another only where" in beside


def test_distances_to_real_images_and_disentanglement_are_told(run: ReportRun) -> None:
    text = said(run, fid("fid50k", 5.0), fid("kid50k", 0.1), disentangled("mig_z", 0.1), disentangled("sap_w", 0.1))
    assert "Fréchet distances [@heusel2017gans], with intervals by the grouped jackknife, and kernel distances" in text
    assert "between 50,000 generated images and 30,000 images of faces, on the features inception." in text
    assert "in Z and W by the mutual information gap [@chen2018isolating] and SAP [@kumar2018variational]" in text
    own = changed(fid("fd_classifiers5k", 5.0), features={"name": "classifier:quick"})
    assert "the features classifier:quick, in place of FID’s Inception network." in said(run, own)


def test_without_measurements_there_are_only_generators(run: ReportRun) -> None:
    (first, *rest) = methods([with_results(run)], [])
    assert first.startswith("Compared are style-8 (")
    assert all("These settings are not the paper’s" in paragraph for paragraph in rest)
    assert "Software" not in said(run)


def test_traditional_generators_cite_progressive_growing(tmp_path: Any, run: ReportRun) -> None:
    flat = read_run(write_run(tmp_path / "flat", depth=0, styles=False, results=traditional_results()))
    assert "[@karras2019style, @karras2018progressive]" in methods([run, flat], [])[0]
    assert "karras2018progressive" not in methods([run], [])[0]


def test_every_mark_is_of_a_known_work_and_only_whole_marks_are_replaced(run: ReportRun) -> None:
    text = said(run, *style_results(), fid("fid50k", 5.0))
    assert len(cited([text])) == 7
    assert "@" not in with_citations(text, in_words)
    assert with_citations("a [@heusel2017gans, @nobody2000] b", in_words) == "a [@heusel2017gans, @nobody2000] b"
    assert with_citations("a [@heusel2017gans].", in_words) == "a (Heusel et al., 2017)."


def test_works_are_whole() -> None:
    assert [WORKS[key].short for key in ("efron1979bootstrap", "eastwood2018framework", "paszke2019pytorch")] == [
        "Efron, 1979",
        "Eastwood and Williams, 2018",
        "Paszke et al., 2019",
    ]
    for key, work in WORKS.items():
        assert re.fullmatch(rf"[a-z]+{work.year}[a-z]+", key)
        assert work.pages or work.arxiv or key == "eastwood2018framework"
        entry = work.bibtex
        assert entry.count("{") == entry.count("}")
        assert {"author", "title", "year"} <= set(re.findall(r"^  (\w+) = ", entry, re.MULTILINE))
    assert r"author = {Bi{\'n}kowski, Miko{\l}aj and " not in bibliography([WORKS["karras2019style"]])
    assert r"author = {Bi{\'n}kowski, Miko{\l}aj and " in bibliography([WORKS["binkowski2018demystifying"]])
    assert "author = {Paszke, Adam and others}" in WORKS["paszke2019pytorch"].bibtex
    assert "volume = {7},\n  number = {1}," in WORKS["efron1979bootstrap"].bibtex

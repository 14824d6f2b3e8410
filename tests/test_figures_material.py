"""Attribute directions and training curves as figures, formats, and the command's options for them."""

import base64
import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from fake_generator import NETWORK, FakeGenerator
from labelled_run import NAMES, latents, material, write_config, write_stats, write_store
from PIL import Image
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.cli.figures import _run_of, attributes_of
from latentlab.directions.editing import Editor, edits_along, render_edits
from latentlab.directions.fitting import attribute_directions
from latentlab.directions.form import save_directions
from latentlab.errors import DataError, DirectionsError, NoFigureError, StoreError, UsageError
from latentlab.figures import FigureSettings, Renderer, Sources, formats_of, save_figures
from latentlab.figures.corner import corner
from latentlab.figures.curves import curves
from latentlab.figures.formats import pixels_of
from latentlab.figures.moves import ROWS, STEPS, cosines_w, cosines_z, directions, strongest
from latentlab.figures.statistics import Phase, called, read_statistics
from latentlab.figures.truncation import truncation
from latentlab.results import NetworkName
from latentlab.store import LatentStore

RENDERER = Renderer(FakeGenerator(), NETWORK, FigureSettings(num_edits=2))
PAGE = (Path(__file__).parent.parent / "docs" / "figures.md").read_text(encoding="utf-8")
OTHER = NetworkName(name="other", sha256="0" * 64)


@pytest.fixture
def run(tmp_path):
    """Labelled samples, statistics, and a config of full data."""
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    write_store(folder / "run.h5")
    write_config(folder)
    write_stats(folder)
    return folder


def found(path: Path, space: str):
    with LatentStore.open(path) as store:
        return attribute_directions(store, space=space)


def with_margins(plot) -> None:
    pixels = plot.pixels()
    assert all((edge == 255).all() for edge in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]))


@pytest.mark.parametrize("figure", [directions, cosines_z, cosines_w, curves, corner])
def test_nothing_is_cut_off_and_progress_comes_to_its_end(run, figure):
    told: list[tuple[int, int]] = []
    pair = (("Male", True), ("Smiling", False))
    plot, says = figure(
        RENDERER,
        material=material(run, attributes=pair),
        progress=lambda done, total, note="": told.append((done, total)),
    )
    with_margins(plot)
    assert told[-1][0] == told[-1][1] > 0
    assert says["caption"].endswith(".")
    assert says["settings"]["seed"] == 0


def test_long_names_are_not_cut_off(run, tmp_path):
    names = ("Wearing_Necklace", "5_o_Clock_Shadow", "Mouth_Slightly_Open")
    pair = ((names[0], None), (names[1], None))
    for arrays in ({}, {"w": None}):
        store = write_store(tmp_path / f"{len(arrays)}.h5", names=names, **arrays)
        for folder in (run, None):
            with_margins(corner(RENDERER, material=material(folder, store=store, attributes=pair))[0])
    other = tmp_path / "a-run-whose-name-is-much-longer-than-others"
    other.mkdir()
    write_stats(other)
    with_margins(curves(RENDERER, material=material(other, compared=(run,)))[0])


# ------------------------------------------------------------------------------------------------------ directions


def test_strips_are_moves_along_the_strongest_directions(run):
    plot, says = directions(RENDERER, material=material(run))
    both = [found(run / "run.h5", space) for space in "zw"]
    assert says["attributes"] == strongest(both, 2)
    assert [one["space"] for one in says["directions"]] == ["z", "w"]
    edits = edits_along(both, says["attributes"])
    images = render_edits(Editor(RENDERER.generator), edits, steps=STEPS, seeds=range(ROWS))
    drawn = plot.pixels()
    for block, row, step in ((0, 0, 3), (3, 1, 6), (1, 0, 0)):
        tile = images[block, row, step].repeat(8, axis=0).repeat(8, axis=1)
        starts = np.argwhere((drawn[:-127, :-127] == tile[0, 0]).all(axis=-1))
        hits = [at for at in starts if np.array_equal(drawn[at[0] : at[0] + 128, at[1] : at[1] + 128], tile)]
        assert hits, (block, row, step)


def test_the_strongest_are_those_whose_planes_help_most(run):
    in_w, in_z = found(run / "run.h5", "w"), found(run / "run.h5", "z")
    put_right = {
        name: max(
            (one.held_out_accuracy[row] - guessed) / (1 - guessed)
            for one in (in_w, in_z)
            for guessed in [max(one.share_positive[row], 1 - one.share_positive[row])]
        )
        for row, name in enumerate(NAMES)
    }
    assert strongest([in_w, in_z], 3) == sorted(NAMES, key=lambda name: -put_right[name])
    assert len(strongest([in_w], 1)) == 1


def test_cosines_are_those_of_the_directions(run):
    for space, figure in (("z", cosines_z), ("w", cosines_w)):
        plot, says = figure(RENDERER, material=material(run))
        cosines = found(run / "run.h5", space).cosines
        assert says["median_abs_cosine"] == pytest.approx(np.median(np.abs(cosines[np.triu_indices(3, 1)])))
        assert says["attributes"] == list(NAMES)
        shown = [text.get_text() for text in plot.figure.axes[0].texts]
        assert f"{cosines[0, 1]:.2f}".replace("-", "−") in shown


def test_the_median_cosine_is_of_the_well_known_directions(run):
    (run / "run.h5").unlink()
    z, w = latents(3000)
    logits = np.stack(
        [4 * w[:, 0], 4 * w[:, 1], 4 * (z[:, 4] + 0.5), np.where(np.arange(3000) < 4, 20.0, -9.0)], axis=1
    )
    write_store(run / "run.h5", logits=logits, names=(*NAMES, "Bald"))
    _, says = cosines_w(RENDERER, material=material(run))
    cosines = found(run / "run.h5", "w").cosines[:3, :3]
    assert says["attributes"] == [*NAMES, "Bald"]
    assert says["median_abs_cosine"] == pytest.approx(np.median(np.abs(cosines[np.triu_indices(3, 1)])))
    assert "The median absolute cosine, between the 3 that are not marked †, is" in says["caption"]


def test_directions_of_a_file_come_before_the_store(run, tmp_path):
    few = found(write_store(tmp_path / "few.h5", logits=latents(3000)[0][:, :2], names=NAMES[:2]), "w")
    save_directions(tmp_path / "mine.npz", few)
    named = material(run, directions=(tmp_path / "mine.npz",))
    assert cosines_w(RENDERER, material=named)[1]["attributes"] == list(NAMES[:2])
    with pytest.raises(NoFigureError, match="none of the files given as --directions has directions in Z"):
        cosines_z(RENDERER, material=named)
    assert [one["space"] for one in directions(RENDERER, material=named)[1]["directions"]] == ["w"]
    save_directions(run / "directions-w.npz", few)
    assert cosines_w(RENDERER, material=material(run))[1]["attributes"] == list(NAMES[:2])
    with_store = material(run, store=run / "run.h5")
    assert cosines_w(RENDERER, material=with_store)[1]["attributes"] == list(NAMES)


def test_directions_of_another_network_are_refused_where_they_were_named(run, tmp_path):
    theirs = found(write_store(tmp_path / "other.h5", network=OTHER), "z")
    save_directions(tmp_path / "z.npz", theirs)
    with pytest.raises(DirectionsError, match=r"holds directions of other .*not of fake"):
        cosines_z(RENDERER, material=material(run, directions=(tmp_path / "z.npz",)))
    save_directions(run / "directions-z.npz", theirs)
    with pytest.raises(NoFigureError, match="directions of other"):
        cosines_z(RENDERER, material=material(run))
    with pytest.raises(DirectionsError, match="no such file"):
        cosines_z(RENDERER, material=material(run, directions=(tmp_path / "none.npz",)))


def test_hardly_known_directions_are_not_moved_along(run):
    (run / "run.h5").unlink()
    logits = np.random.default_rng(0).normal(size=(3000, 1)) * 0.1 + 5
    logits[:4] = -9
    write_store(run / "run.h5", logits=logits, names=("Male",))
    with pytest.raises(NoFigureError, match="hardly known"):
        directions(RENDERER, material=material(run))


def test_without_a_mapping_there_are_no_cosines_in_w(run):
    plain = Renderer(FakeGenerator(has_mapping=False), NETWORK)
    with pytest.raises(NoFigureError, match="its W is Z"):
        cosines_w(plain, material=material(run))
    assert [one["space"] for one in directions(plain, material=material(run))[1]["directions"]] == ["z"]


# ---------------------------------------------------------------------------------------------------------- curves


def test_every_metric_is_read_and_nothing_else(run):
    statistics = read_statistics(run)
    assert list(statistics.metrics) == ["swd", "ls_z", "ls_w"]
    assert statistics.metrics["ls_z"].kimg == [3, 6, 9, 12]
    assert statistics.metrics["ls_z"].values == [8, 4, 24 / 9, 2]
    assert statistics.phases == [Phase(0, 4, 8, False), Phase(4, 6, 16, True), Phase(6, 12, 16, False)]


@pytest.mark.parametrize(
    ("key", "panel", "space"),
    [
        ("ppl_zend", "Perceptual path length, path ends", "z"),
        ("ppl_wfull", "Perceptual path length, full paths", "w"),
        ("ls_w", "Linear separability", "w"),
        ("fid50k", "FID, 50k images", None),
        ("fid", "FID", None),
        ("fd_classifiers", "Fréchet distance of classifier features", None),
        ("swd", "Sliced Wasserstein distance", None),
        ("my_metric", "my metric", None),
    ],
)
def test_what_metrics_are_called(key, panel, space):
    assert (called(key).panel, called(key).space) == (panel, space)


def test_curves_of_several_runs_stand_in_the_same_panels(run, tmp_path):
    other = tmp_path / "two"
    other.mkdir()
    write_stats(other, scale=2.0, keys=("swd", "fid50k"))
    plot, says = curves(RENDERER, material=material(run, compared=(other, run)))
    assert says["settings"]["runs"] == ["one", "two"]
    assert says["curves"]["two"]["swd"]["values"] == [8, 4, 24 / 9, 2]
    panels = {axes.get_title(loc="left"): axes for axes in plot.figure.axes}
    assert list(panels) == ["Sliced Wasserstein distance", "Linear separability", "FID, 50k images"]
    for title, count in (("Sliced Wasserstein distance", 2), ("Linear separability", 2), ("FID, 50k images", 1)):
        lines = [line for line in panels[title].lines if len(line.get_xdata()) == 4]
        rings = [line for line in panels[title].lines if len(line.get_xdata()) == 1]
        assert (len(lines), len(rings)) == (count, count)
        for line, ring in zip(lines, rings, strict=True):
            assert ring.get_ydata()[0] == min(line.get_ydata())
    in_z, in_w = (line for line in panels["Linear separability"].lines if len(line.get_xdata()) == 4)
    assert in_z.get_linestyle() != in_w.get_linestyle()
    assert {"8 px", "16 px"} <= {text.get_text() for text in panels["FID, 50k images"].texts}


def test_runs_of_one_name_are_told_apart(run, tmp_path):
    other = tmp_path / "elsewhere" / "one"
    other.mkdir(parents=True)
    write_stats(other, end=6)
    says = curves(RENDERER, material=material(run, compared=(other,)))[1]
    assert list(says["curves"]) == ["one", "one (2)"]
    assert "phases are those of one" not in says["caption"].partition(";")[0]
    assert says["caption"].endswith("phases are those of one.")


def test_runs_without_curves_have_no_figure_of_them(run):
    with pytest.raises(NoFigureError, match="is of no run"):
        curves(RENDERER)
    (run / "stats.jsonl").write_text('{"kimg": 1, "loss_g": 2.0, "swd": NaN}\n')
    with pytest.raises(NoFigureError, match="nothing was measured"):
        curves(RENDERER, material=material(run))
    (run / "stats.jsonl").write_text("nothing\n[1]\n")
    with pytest.raises(DataError, match="no line of statistics"):
        curves(RENDERER, material=material(run))
    (run / "stats.jsonl").unlink()
    with pytest.raises(NoFigureError, match=r"no stats\.jsonl"):
        curves(RENDERER, material=material(run))


# --------------------------------------------------------------------------------------------------------- formats


def test_formats():
    assert formats_of(None) == ("png",)
    assert formats_of("pdf, SVG") == ("png", "svg", "pdf")
    with pytest.raises(UsageError, match="no format 'jpg'; there are png, svg, pdf"):
        formats_of("png,jpg")


def test_every_figure_is_written_in_every_format(run, tmp_path):
    names = ["truncation", "corner", "directions", "cosines_z", "curves"]
    pair = (("Male", None), ("Smiling", None))
    record = save_figures(
        tmp_path / "out",
        RENDERER.generator,
        NETWORK,
        names=names,
        sources=Sources(run=run, attributes=pair),
        formats=("png", "svg", "pdf"),
    )
    assert record["left_out"] == []
    files = [file for figure in record["figures"] for file in figure["files"]]
    assert files == [f"{name}.{form}" for name in names for form in ("png", "svg", "pdf")]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files, "figures.json"}
    for figure in record["figures"]:
        with Image.open(tmp_path / "out" / figure["file"]) as image:
            assert image.size == (figure["width"], figure["height"])
            assert image.text["Description"] == figure["caption"]
        assert (tmp_path / "out" / f"{figure['name']}.pdf").read_bytes().startswith(b"%PDF")
    vectors = (tmp_path / "out" / "corner.svg").read_text("utf-8")
    assert "<image" not in vectors
    assert "Latent space Z" in vectors
    assert "<image" not in (tmp_path / "out" / "curves.svg").read_text("utf-8")


def test_pixels_lie_unchanged_in_an_svg(tmp_path):
    save_figures(tmp_path / "out", RENDERER.generator, NETWORK, names=["truncation"], formats=("png", "svg"))
    written = (tmp_path / "out" / "truncation.svg").read_text("utf-8")
    (address,) = re.findall(r'<image [^>]*xlink:href="data:image/png;base64,([^"]+)"', written)
    with Image.open(io.BytesIO(base64.b64decode(address))) as image:
        upside_down = np.asarray(image.convert("RGB"))
    assert np.array_equal(upside_down[::-1], pixels_of(truncation(Renderer(RENDERER.generator, NETWORK))[0]))


def test_all_formats_are_the_same_twice(run, tmp_path):
    for name in ("a", "b"):
        save_figures(
            tmp_path / name,
            RENDERER.generator,
            NETWORK,
            names=["curves"],
            sources=Sources(run=run),
            formats=("png", "svg", "pdf"),
        )
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


# --------------------------------------------------------------------------------------------------------- command


def command(*words: object):
    line = ["figures", "--network", "fake_generator:FakeGenerator", *words]
    return CliRunner().invoke(app, [str(word) for word in line], env={"COLUMNS": "120"})


def fake_store(path: Path) -> Path:
    """A store of the factory's network, whose hash is that of its code."""
    from latentlab.cli.networks import open_network

    return write_store(path, network=open_network("fake_generator:FakeGenerator", "cpu")[1])


def test_the_command_takes_a_store_and_attributes(tmp_path):
    store = fake_store(tmp_path / "run.h5")
    done = command(
        *("--only", "corner,cosines_w", "--store", store, "--attributes", "Male=1,Smiling=0"),
        *("--format", "svg", "--out", tmp_path / "out"),
    )
    assert done.exit_code == 0, done.output
    assert "corner.png, corner.svg, " in done.stdout
    record = json.loads((tmp_path / "out" / "figures.json").read_text("utf-8"))
    assert [figure["file"] for figure in record["figures"]] == ["corner.png", "cosines_w.png"]
    assert record["figures"][0]["settings"]["corner"] == "Male=1 Smiling=0"


def test_the_command_leaves_out_what_has_no_material(tmp_path):
    done = command("--only", "samples,corner,curves", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "corner was left out: nothing was left out of the training data" in done.stdout
    assert "curves was left out: " in done.stdout
    alone = command("--only", "curves", "--out", tmp_path / "alone")
    assert alone.exit_code == 2
    assert "no figure can be made: curves: " in alone.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--only", "samples", "--store", "run.h5"), "--store run.h5 is for corner, directions, cosines_z, cosines_w"),
        (("--only", "curves", "--attributes", "Male,Smiling"), "--attributes Male,Smiling is for corner"),
        (("--only", "corner", "--directions", "d.npz"), "--directions d.npz is for directions"),
        (("--only", "corner", "--compare", "other"), "--compare other is for curves"),
        (("--only", "curves", "--compare", "other"), "--compare other: no run with statistics"),
        (("--only", "corner", "--attributes", "Male"), "--attributes Male: expected two attributes"),
        (("--format", "tiff"), "no format 'tiff'"),
        (("--only", "corner", "--store", "none.h5", "--attributes", "Male,Young"), "none.h5: no such store"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(tmp_path, words, message):
    done = command(*words, "--out", tmp_path / "out")
    assert done.exit_code in (1, 2)
    assert message in done.stderr.replace("\n", " ").replace("  ", " ")
    assert list(tmp_path.iterdir()) == []


def test_the_material_of_a_snapshot_lies_in_its_run_folder(tmp_path):
    run = tmp_path / "run"
    snapshot = run / "snapshots" / "000012000"
    snapshot.mkdir(parents=True)
    (run / "best").symlink_to(snapshot.relative_to(run))
    assert _run_of(snapshot) == run
    assert _run_of(run / "best") == run.resolve()
    assert _run_of(tmp_path / "networks" / "ffhq") == tmp_path / "networks" / "ffhq"


def test_attributes_in_words():
    assert attributes_of(None) == ()
    assert attributes_of("Male, Smiling") == (("Male", None), ("Smiling", None))
    assert attributes_of("Male=1,Smiling=0") == (("Male", True), ("Smiling", False))
    for text in ("Male=,Smiling=", "Male=1,Smiling", "Male,Male", "Male=2,Smiling=1", "a,b,c", ","):
        with pytest.raises(UsageError, match="expected two attributes"):
            attributes_of(text)


def test_a_named_store_that_is_damaged_ends_the_command(tmp_path):
    (tmp_path / "run.h5").write_bytes(b"no store")
    with pytest.raises(StoreError, match="not an HDF5 file"):
        cosines_z(RENDERER, material=material(store=tmp_path / "run.h5"))


# ------------------------------------------------------------------------------------------------------------ page


def test_the_commands_of_the_page_with_material_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, other = tmp_path / "runs" / "fake_generator-FakeGenerator", tmp_path / "runs" / "style-8"
    for run in (folder, other):
        run.mkdir(parents=True)
        write_stats(run)
    fake_store(folder / "run.h5")
    write_config(folder, "faces without Male=1 Smiling=1")
    _, commands = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for line in commands.splitlines() if line.startswith("latentlab figures")]
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line.replace("corner-8", "fake_generator:FakeGenerator"))[1:])
        assert done.exit_code == 0, (line, done.output)
        assert "was left out" not in done.stdout
    made = {path.name for path in (tmp_path / "figures-corner").iterdir()}
    assert made == {f"{name}.{form}" for name in ("corner", "curves") for form in ("png", "svg", "pdf")} | {
        "figures.json"
    }
    assert len(lines) == 3

"""Edits along directions: latents, strips, re-scoring; on a generator and classifiers that are linear."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller, matrix
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from latentlab.directions import rescoring
from latentlab.directions.editing import (
    Edit,
    Editor,
    check_network,
    check_truncation,
    edits_along,
    in_words,
    render_edits,
)
from latentlab.directions.form import Directions
from latentlab.directions.heatmaps import save_moves
from latentlab.directions.layout import LEAST_LINES
from latentlab.directions.rescoring import rescore_edits
from latentlab.directions.strips import check_strips, layout_of, save_strips, step_label, strips_figure
from latentlab.directions.tables import rows_of, save_table
from latentlab.errors import DataError, DirectionsError, OffSamplesWarning, UnknownNetworkWarning, UsageError
from latentlab.images import to_uint8
from latentlab.latents import sample_z, truncate
from latentlab.results import NetworkName
from latentlab.sampling import sample
from latentlab.store import LatentStore

NAMES = FakeLabeller.attributes


def directions_of(space="w", *, valid=(True, True, True), network=NETWORK, dims=8, rarer=None) -> Directions:
    """Directions of the fake labeller's attributes, along coordinates 0 to 2."""
    vectors = np.eye(3, dims)
    numbers = dict.fromkeys(("intercepts", "accuracy", "held_out_accuracy", "share_positive"), np.zeros(3))
    return Directions(
        attributes=NAMES,
        space=space,
        directions=vectors,
        normals=vectors,
        scale=np.array([1.0, 2.0, 0.5]),
        num_rarer=np.array([100 * there for there in valid] if rarer is None else rarer),
        converged=np.array(valid),
        valid=np.array(valid),
        reason=tuple("" if there else "all samples kept for it are of one class" for there in valid),
        conditioned_on=((), ("left",), ()),
        provenance={"store": {"network": network.model_dump()}},
        **numbers,
    )


def linear(**options) -> FakeGenerator:
    return FakeGenerator(linear=True, **options)


def log_odds_per_step(edit: Edit) -> np.ndarray:
    """What a step adds to the fake labeller's log-odds, [3]; images of 8 pixels, so that none are resized."""
    return edit.step @ matrix("paint", 8, 3 * 8**2).numpy() @ matrix("label", 3 * 8**2, 3).numpy() * 10


# -------------------------------------------------------------------------------------------------------------- edits


def test_edits_are_steps_of_one_standard_deviation():
    (edit,) = edits_along([directions_of()], ["right"])
    np.testing.assert_array_equal(edit.step, [0, 2, 0, 0, 0, 0, 0, 0])
    assert (edit.space, edit.conditioned_on, edit.name) == ("w", ("left",), "right in W, orthogonal to left")


def test_each_attribute_in_each_space_in_turn():
    both = [directions_of("z", valid=(True, False, True)), directions_of("w")]
    named = edits_along(both, ["rare", "left", "rare"])
    assert [edit.name for edit in named] == ["rare in Z", "rare in W", "left in Z", "left in W"]
    everything = edits_along(both, None, sources=["a", "b"])
    found = [(edit.attribute, edit.space, edit.source) for edit in everything]
    assert found == [
        ("left", "z", "a"),
        ("left", "w", "b"),
        ("rare", "z", "a"),
        ("rare", "w", "b"),
        ("right", "w", "b"),
    ]


def test_attributes_that_cannot_be_edited():
    with pytest.raises(UsageError, match=r"no attribute is called 'Rihgt': did you mean right\?"):
        edits_along([directions_of()], ["Rihgt"])
    with pytest.raises(UsageError, match="right has no direction in W: all samples kept for it are of one class"):
        edits_along([directions_of(valid=(True, False, True))], ["right"])


def test_directions_of_another_network():
    generator = linear()
    other = NetworkName(name="other", sha256="b" * 64)
    check_network(directions_of(), generator, NETWORK)
    with pytest.raises(DirectionsError, match=r"directions in W are of other \(SHA-256 b{64}\), not of fake"):
        check_network(directions_of(network=other), generator, NETWORK)
    check_network(directions_of(network=other), generator, NETWORK, any_network=True)
    with pytest.raises(DirectionsError, match=r"of a Z of 6 dimensions .*, but fake has 8"):
        check_network(directions_of("z", network=other, dims=6), generator, NETWORK, any_network=True)
    for unknown in ({"provenance": {}}, {"provenance": {"store": None}}):
        with pytest.warns(UnknownNetworkWarning, match="nothing says that the directions in W .* are of fake"):
            check_network(replace(directions_of(), **unknown), generator, NETWORK)


def test_latents_move_in_their_own_space():
    generator, z = FakeGenerator(), sample_z(0, slice(0, 3), 8)
    in_z, in_w = edits_along([directions_of("z"), directions_of("w")], ["right"])
    editor = Editor(generator, truncation_psi=0.5)
    move = torch.tensor([0, -6.0, 0, 0, 0, 0, 0, 0])
    plain = truncate(generator.mapping(z), generator.w_avg, 0.5)
    torch.testing.assert_close(editor.latents(z, None), plain)
    torch.testing.assert_close(editor.latents(z, in_w, -3), plain + move)
    edited = truncate(generator.mapping(z + move), generator.w_avg, 0.5)
    torch.testing.assert_close(editor.latents(z, in_z, -3), edited)


def test_some_layers_only():
    z = sample_z(0, slice(0, 3), 8)
    (edit,) = edits_along([directions_of()], ["left"])
    whole, some = (Editor(linear(), layers=layers).latents(z, edit, 1.0) for layers in (None, (0, 2)))
    torch.testing.assert_close(some[:, [0, 2]], whole[:, [0, 2]])
    torch.testing.assert_close(some[:, 1], z)
    with pytest.raises(UsageError, match="layer 3 shall be edited; this generator has the layers 0 to 2"):
        Editor(linear(), layers=(0, 3))
    with pytest.raises(UsageError, match="truncation psi is nan"):
        Editor(linear(), truncation_psi=float("nan"))


@pytest.mark.parametrize("space", ["z", "w"])
def test_steps_that_overflow(space):
    (edit,) = edits_along([directions_of(space)], ["right"])
    with pytest.raises(UsageError, match=r"3e\+38 steps of right in .* numbers overflow"):
        Editor(linear()).latents(sample_z(0, slice(0, 1), 8), edit, 3e38)
    with (
        pytest.warns(OffSamplesWarning, match="steps: -900 standard deviations are far from all samples"),
        pytest.raises(DataError, match="images that are not finite: take fewer or smaller steps"),
    ):
        render_edits(Editor(linear(scale=1e38)), [edit], steps=[0, -900, 800], seeds=[0])


def test_steps_beyond_all_samples():
    (edit,) = edits_along([directions_of()], ["left"])
    with pytest.raises(UsageError, match=r"steps: 1e\+30 is too far.*lie within about 5; beyond 1,000 nothing but"):
        render_edits(Editor(linear()), [edit], steps=[0, 1e30], seeds=[0])
    with pytest.raises(UsageError, match="steps: nan is no number"):
        render_edits(Editor(linear()), [edit], steps=[float("nan")], seeds=[0])
    with pytest.raises(UsageError, match="reach: 1001 is too far"):
        rescored([edit], reach=1001)
    with pytest.warns(OffSamplesWarning, match="reach: 21 standard deviations"):
        rescored([edit], reach=21, num_samples=2, bootstrap=2)
    render_edits(Editor(linear()), [edit], steps=[-20, 20], seeds=[0])  # warns of nothing


def test_directions_of_samples_at_another_truncation():
    there = replace(directions_of(), provenance={"store": {"truncation_psi": 0.7}})
    with pytest.warns(OffSamplesWarning, match=r"in W are of samples at truncation psi 0\.7, and edits are made at 1:"):
        check_truncation(there, 1.0)
    check_truncation(there, 0.7)
    check_truncation(directions_of(), 0.5)  # nobody knows


def test_all_leaves_out_what_is_hardly_known():
    both = [directions_of("z", rarer=[100, 7, 8]), directions_of("w", rarer=[100, 100, 7])]
    names = [edit.name for edit in edits_along(both, None)]
    assert names == ["left in Z", "left in W", "rare in Z", "right in W, orthogonal to left"]
    besides = edits_along(both, None, besides=["right"])
    assert [edit.hardly_known for edit in besides if edit.attribute == "right"] == [True, False]
    assert [edit.hardly_known for edit in edits_along(both, ["right"])] == [True, False]
    with pytest.raises(UsageError, match="all directions are hardly known"):
        edits_along([directions_of(rarer=[1, 1, 1])], None)


def test_an_editor_says_what_is_not_as_usual():
    assert Editor(linear()).description == ""
    editor = Editor(linear(), truncation_psi=0.7, noise_mode="none", layers=(0, 1), network=NETWORK)
    assert editor.description == "fake, truncation 0.7, noise none, edits in W reach layers 0-1 only"
    assert in_words((5, 0, 1, 2)) == "layers 0-2, 5"
    assert in_words((4,)) == "layer 4"
    assert in_words(None) == "all layers"


# ------------------------------------------------------------------------------------------------------------- strips


@pytest.mark.parametrize("foreign", [False, True])
def test_step_0_is_sample_0_of_the_seed(tmp_path, foreign):
    generator = linear(foreign=foreign)
    edits = edits_along([directions_of("z"), directions_of("w")], ["left"])
    images = render_edits(Editor(generator), edits, steps=[-1, 0, 1], seeds=[5, 6])
    assert (images.shape, images.dtype) == ((2, 2, 3, 16, 16, 3), np.uint8)
    for number, seed in enumerate((5, 6)):
        path = sample(generator, tmp_path / f"{seed}.h5", network=NETWORK, labeller=None, num_samples=1, seed=seed,
                      with_images=True)  # fmt: skip
        with LatentStore.open(path) as store:
            for edited in images[:, number]:
                assert np.abs(edited[1].astype(int) - store.images[0].astype(int)).max() <= 1


def test_all_images_of_a_strip_have_one_noise():
    (edit,) = edits_along([directions_of()], ["left"])
    still = replace(edit, step=np.zeros(8))
    images = render_edits(Editor(linear(noise=5.0)), [still], steps=np.linspace(-3, 3, 70), seeds=[0, 1])
    assert (images[:, :, :1] == images).all()
    assert (images[0, 0] != images[0, 1]).any()


def test_images_are_those_of_the_moved_latents():
    generator = linear(noise=0.0)
    (edit,) = edits_along([directions_of()], ["right"])
    images = render_edits(Editor(generator, noise_mode="none"), [edit], steps=[1.5], seeds=[3])
    ws = generator.mapping(sample_z(3, slice(0, 1), 8)) + torch.tensor([0, 3.0, 0, 0, 0, 0, 0, 0])
    expected = to_uint8(generator.synthesis(ws))
    assert np.abs(images[0, 0].astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(("size", "channels"), [(16, 3), (200, 1)])
def test_pixels_of_a_picture_are_those_of_the_images(tmp_path, size, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 3, size, size, channels), np.uint8)
    edits = edits_along([directions_of("z"), directions_of()], ["left"])
    save_strips(tmp_path / "a.png", images, edits, steps=[-1, 0, 1], seeds=[1, 2], notes=["first", "second"])
    layout = layout_of(size, edits, rows=2, columns=3, notes=["first", "second"])
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert picture.shape[:2] == layout.size[::-1]
    assert layout.tile >= 128
    for block in range(2):
        top, left = block * layout.block + layout.head, layout.left
        shown = picture[top : top + layout.inner[1], left : left + layout.inner[0]]
        np.testing.assert_array_equal(shown, layout.tiled(images[block]))
    one = picture[layout.head : layout.head + layout.tile, layout.left : layout.left + layout.tile]
    small = one[:: layout.factor, :: layout.factor]
    np.testing.assert_array_equal(small, np.broadcast_to(images[0, 0, 0], (size, size, 3)))


def test_a_picture_says_what_it_shows(tmp_path):
    images = np.zeros((1, 2, 3, 8, 8, 3), np.uint8)
    edit = Edit("Wavy_Hair", "w", np.zeros(8), ("Male",))
    save_strips(tmp_path / "a.svg", images, [edit], steps=[-1.5, 0, 2], seeds=[4, 99], notes=["a note"])
    text = (tmp_path / "a.svg").read_text()
    for words in ("Wavy Hair in W, orthogonal to Male", "−1.5 σ", ">0<", "+2 σ", "seed 4", "seed 99", "a note"):
        assert words in text, words
    assert step_label(-0.0) == "0"


def test_pictures_that_would_be_too_large():
    edits = edits_along([directions_of()], ["left"]) * 40
    with pytest.raises(UsageError, match=r"the picture would have .* pixels, and at most 65,535 fit"):
        check_strips(1024, edits, rows=3, columns=3, measured=True)
    check_strips(1024, edits[:5], rows=3, columns=3, measured=True)


LONG = Edit("Smiling", "w", np.zeros(8), ("Male", "Young"))
ENDLESS = Edit("W" * 200, "z", np.zeros(8), (r"a$\frac$b",) * 5, "some/folder/directions", hardly_known=True)
SHORT = Edit("Bald", "z", np.zeros(8))
NOTE = "log-odds −12.34 per σ, selectivity −12.3"


@pytest.mark.parametrize("size", [8, 200])
@pytest.mark.parametrize("steps", [[0], [0, 1], [-1000, -0.123456, 0.000123456], list(range(-5, 6))])
@pytest.mark.parametrize("edits", [[SHORT], [LONG], [ENDLESS, SHORT, LONG]])
def test_no_text_of_a_picture_meets_another_or_the_edge(size, steps, edits):
    seeds = [1, -(2**63)]
    images = np.zeros((len(edits), 2, len(steps), size, size, 3), np.uint8)
    heading = "style-8, truncation 0.7, noise const, edits in W reach layers 0-1, 3, 5, 7 only"
    figure = strips_figure(images, edits, steps=steps, seeds=seeds, notes=[NOTE] * len(edits), heading=heading)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    names = [*(text.get_text() for text in texts), *["images"] * len(figure.axes)]
    assert len(texts) >= len(edits) * (1 + 1 + len(steps) + len(seeds)) + 1
    for box, name in zip(boxes, names, strict=True):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, name
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, name
    for (one, first), (other, second) in combinations(zip(boxes, names, strict=True), 2):
        apart = (
            min(one.x1, other.x1) - max(one.x0, other.x0) <= 0.5 or min(one.y1, other.y1) - max(one.y0, other.y0) <= 0.5
        )
        assert apart, (first, second)
    shown = "".join(text.get_text() for text in texts).replace(" ", "")
    for edit in edits:
        assert edit.name.replace("_", "").replace(" ", "") in shown


def test_a_note_stands_beside_a_caption_where_both_fit():
    wide, narrow = (layout_of(64, [SHORT, LONG], rows=1, columns=count, notes=[NOTE] * 2) for count in (7, 1))
    assert [line.text for line in wide.caption(0)] == ["Bald in Z", NOTE]
    assert len({line.y for line in wide.caption(0)}) == 1
    assert narrow.size[0] >= LEAST_LINES * narrow.line
    assert len({line.y for line in narrow.caption(1)}) == len(narrow.caption(1)) >= 2
    assert wide.head < narrow.head


# --------------------------------------------------------------------------------------------------------- re-scoring


def rescored(edits, *, editor=None, labeller=None, **options):
    editor = editor or Editor(linear(resolution=8))
    return rescore_edits(editor, labeller or FakeLabeller(), edits, **options)


def test_moves_of_what_is_linear_are_exact():
    edits = edits_along([directions_of("z"), directions_of("w")], None)
    found = rescored(edits, num_samples=40, reach=2.0, bootstrap=50)
    np.testing.assert_allclose(found.moves, [log_odds_per_step(edit) for edit in edits], atol=1e-3)
    np.testing.assert_allclose(found.ci95[..., 0], found.ci95[..., 1], atol=1e-3)  # every sample moves alike
    assert found.targets.tolist() == [0, 0, 1, 1, 2, 2]
    moves = found.moves / found.spread
    np.testing.assert_allclose(found.standardised, moves)
    assert found.selectivity[2] == pytest.approx(moves[2, 1] / (abs(moves[2, 0]) + abs(moves[2, 2])) * 2)
    for edit in range(6):
        assert found.selectivity_ci95[edit, 0] < found.selectivity[edit] < found.selectivity_ci95[edit, 1]


def test_the_interval_of_selectivity_counts_how_spread_the_unedited_samples_are():
    """Every sample moves alike here, so that all that varies is the unit of the moves."""
    (edit,) = edits_along([directions_of()], ["right"])
    editor = Editor(linear(resolution=8), noise_mode="none")
    found = rescored([edit], editor=editor, num_samples=50, bootstrap=400)
    ws = editor.latents(sample_z(0, slice(0, 64), 8, stream="rescoring")[:50], None)
    log_odds = FakeLabeller()(editor.generator.synthesis(ws)).double().numpy()
    random = np.random.default_rng(0)
    drawn = [log_odds[random.integers(50, size=50)].std(axis=0) for _ in range(4000)]
    moves = found.moves[0] / np.array(drawn)
    expected = np.percentile(moves[:, 1] / np.abs(moves[:, [0, 2]]).mean(axis=1), [2.5, 97.5])
    np.testing.assert_allclose(found.selectivity_ci95[0], expected, rtol=0.05)
    assert np.ptp(expected) > 0.1 * found.selectivity[0]


def test_two_samples_have_an_interval_where_one_can_be_had():
    """Half of the draws of two samples are one sample twice, which has no spread."""
    found = rescored(edits_along([directions_of()], ["left"]), num_samples=2, bootstrap=50)
    assert np.isfinite(found.selectivity_ci95).all()


def test_flips_are_of_edits_towards_the_other_label():
    class Plain(FakeLabeller):
        """The sign of one coordinate of w, read off the images."""

        def __call__(self, images):
            w = images.flatten(1) @ torch.linalg.pinv(matrix("paint", 8, 3 * 8**2))
            return w[:, :3]

    (edit,) = edits_along([directions_of()], ["left"])
    editor = Editor(linear(resolution=8), noise_mode="none")
    (half,) = rescored([edit], editor=editor, labeller=Plain(), num_samples=64, bootstrap=10).flips
    z = sample_z(0, slice(0, 64), 8, stream="rescoring")[:, 0]
    assert half == (z.abs() < 1).float().mean().item()  # a step moves it by 1
    backwards = replace(edit, step=-edit.step)
    assert rescored([backwards], editor=editor, labeller=Plain(), num_samples=64, bootstrap=10).flips == 0
    far = rescored([edit], editor=editor, labeller=Plain(), num_samples=64, reach=9.0, bootstrap=10)
    assert far.flips == 1


def test_without_others_there_is_no_selectivity():
    class Alone(FakeLabeller):
        attributes = ("left",)

        def __call__(self, images):
            return super().__call__(images)[:, :1]

    found = rescored(edits_along([directions_of()], ["left"]), labeller=Alone(), num_samples=10, bootstrap=10)
    assert np.isnan(found.selectivity).all()
    assert rows_of(found)[0]["selectivity"] is None
    assert rows_of(found)[0]["selectivity_ci95"] == [None, None]


def test_an_edit_of_no_length_moves_nothing():
    still = Edit("left", "w", np.zeros(8))
    found = rescored([still], num_samples=10, bootstrap=10)
    assert not found.moves.any()
    assert found.flips == 0


def test_intervals_hold_the_move_shrink_with_samples_and_repeat():
    edits = edits_along([directions_of("z")], ["left"])
    editor = Editor(FakeGenerator(resolution=8))
    few, many, again, other = (
        rescored(edits, editor=editor, num_samples=count, seed=seed)
        for count, seed in ((16, 0), (256, 0), (16, 0), (16, 1))
    )
    for found in (few, many):
        assert (found.ci95[..., 0] < found.moves).all()
        assert (found.moves < found.ci95[..., 1]).all()
        assert found.selectivity_ci95[0, 0] < found.selectivity[0] < found.selectivity_ci95[0, 1]
    assert np.ptp(many.ci95[0, 0]) < 0.5 * np.ptp(few.ci95[0, 0])
    np.testing.assert_array_equal(few.ci95, again.ci95)
    assert (few.moves != other.moves).all()


def test_a_sample_is_the_same_however_many_there_are(monkeypatch):
    edits = edits_along([directions_of("z")], ["left"])
    seen, resampled = [], rescoring._resampled

    def noted(moves, *how):
        seen.append(moves)
        return resampled(moves, *how)

    monkeypatch.setattr("latentlab.directions.rescoring._resampled", noted)
    editor = Editor(FakeGenerator())
    for count in (5, 70):
        rescored(edits, editor=editor, num_samples=count)
    np.testing.assert_array_equal(seen[0], seen[1][:, :5])


def test_several_threads_give_the_same(monkeypatch):
    edits = edits_along([directions_of("z"), directions_of("w")], None)
    one = rescored(edits, editor=Editor(FakeGenerator()), num_samples=200, bootstrap=10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    three = rescored(edits, editor=Editor(FakeGenerator()), num_samples=200, bootstrap=10)
    np.testing.assert_array_equal(one.moves, three.moves)


def test_progress_counts_images():
    told = []
    rescored(edits_along([directions_of()], None), num_samples=65, bootstrap=2, progress=lambda *now: told.append(now))
    assert told[-1] == (2 * 64 * 7, 2 * 64 * 7)
    assert [done for done, *_ in told] == sorted(done for done, *_ in told)


def test_what_cannot_be_measured():
    edits = edits_along([directions_of()], ["left"])
    with pytest.raises(UsageError, match=r"num_samples is 1 and reach 1\.0"):
        rescored(edits, num_samples=1)
    with pytest.raises(UsageError, match="reach inf"):
        rescored(edits, reach=float("inf"))
    with pytest.raises(UsageError, match=r"classifiers fake-classifiers cannot measure lef: .* did you mean left"):
        rescored([replace(edits[0], attribute="lef")])

    class Broken(FakeLabeller):
        def __call__(self, images):
            return torch.full((len(images), 3), torch.nan)

    with pytest.raises(DataError, match="fake-classifiers made log-odds that are not finite"):
        rescored(edits, labeller=Broken())


DECIDED = {
    "network": "fake",
    "network_sha256": NETWORK.sha256,
    "classifiers": "fake-classifiers",
    "classifiers_sha256": FakeLabeller.sha256,
    "num_samples": 20,
    "reach": 2,
    "seed": 4,
    "truncation_psi": 0.7,
    "noise_mode": "const",
    "hardly_known": False,
}


def test_the_table_has_a_row_per_edit_and_columns_per_attribute(tmp_path: Path):
    edits = edits_along([directions_of("z"), directions_of("w")], ["left", "right"])
    editor = Editor(linear(resolution=8), truncation_psi=0.7, noise_mode="const", layers=(0, 2), network=NETWORK)
    found = rescored(edits, editor=editor, num_samples=20, bootstrap=20, seed=4, reach=2)
    save_table(tmp_path / "t.csv", found)
    table = pd.read_csv(tmp_path / "t.csv", keep_default_na=True)
    assert table["edit"].tolist() == [edit.name for edit in edits]
    np.testing.assert_allclose(table[[f"move:{name}" for name in NAMES]], found.moves)
    np.testing.assert_allclose(table[[f"high:{name}" for name in NAMES]], found.ci95[..., 1])
    np.testing.assert_allclose(table["target"], [found.moves[row, found.targets[row]] for row in range(4)])
    decided = table[[*DECIDED]].iloc[0].to_dict()
    assert decided == DECIDED
    assert table["layers"].tolist() == ["all", "0 2", "all", "0 2"]
    assert table["conditioned_on"].fillna("").tolist() == ["", "", "left", "left"]


def test_the_heat_map_names_edits_and_attributes(tmp_path):
    edits = edits_along([directions_of("z", rarer=[100, 100, 1]), directions_of("w")], NAMES)
    editor = Editor(linear(resolution=8), layers=(1,), network=NETWORK)
    found = rescored(edits, editor=editor, num_samples=10, bootstrap=5)
    save_moves(tmp_path / "a.svg", found)
    text = (tmp_path / "a.svg").read_text()
    for words in ("left in Z", "right in W, orthogonal to left", ">rare<", "means over 10 samples",
                  "fake, edits in W reach layer 1 only", "rare in Z †", "† hardly known"):  # fmt: skip
        assert words in text

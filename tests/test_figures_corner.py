"""The missing corner: what is counted, what the planes tell, and what is drawn of it."""

import json

import numpy as np
import pytest
from fake_generator import NETWORK, FakeGenerator
from labelled_run import latents, material, write_config, write_store
from matplotlib.collections import PathCollection

from latentlab.data.embedded import Selection
from latentlab.errors import CheckpointError, NoFigureError, StoreError, UsageError
from latentlab.figures import Renderer
from latentlab.figures.corner import corner, share
from latentlab.figures.corner_lines import _clipped, field
from latentlab.figures.corner_planes import fitted, held_out_sides, label_bits, projected, tell
from latentlab.figures.training_data import COMBINATIONS, training_data
from latentlab.metrics.entropy import conditional_entropy
from latentlab.results import NetworkName

RENDERER = Renderer(FakeGenerator(), NETWORK)
MALE_SMILING = (("Male", None), ("Smiling", None))


@pytest.fixture
def run(tmp_path):
    """Trained without men who smile not."""
    write_store(tmp_path / "run.h5")
    write_config(tmp_path, "faces without Male=1 Smiling=0")
    return tmp_path


def labelled(count: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, w = latents(count)
    return z, w, w[:, :2] > 0


# --------------------------------------------------------------------------------------------------- training data


@pytest.mark.parametrize("missing", [(), (("Male", True), ("Smiling", False)), (("5_o_Clock_Shadow", False),)])
def test_a_selection_is_found_again_by_its_name(missing):
    selection = Selection(0, 700, missing)
    assert Selection.of_name(selection.name, 700) == selection
    assert Selection.of_name(f"my {selection.name}", 700) is None


def test_labels_without_images_are_those_of_the_images(tmp_path):
    from latentlab.data import open_dataset

    dataset = open_dataset("faces", resolution=16, num_images=300, missing={"Male": True, "Smiling": False})
    write_config(tmp_path, dataset.name, count=300)
    data = training_data(tmp_path)
    assert np.array_equal(data.selection.labels(), dataset.labels)
    counts, full = data.counts(("Male", "Smiling")), data.full_counts(("Male", "Smiling"))
    column = [dataset.attributes.index(name) for name in ("Male", "Smiling")]
    held = dataset.labels[:, column] > 0
    assert counts == {both: int((held == np.array(both)).all(axis=1).sum()) for both in COMBINATIONS}
    assert counts[True, False] == 0 < full[True, False]
    assert sum(counts.values()) == sum(full.values()) == 300
    assert data.counts(("Male", "Handsome")) is None


@pytest.mark.parametrize(
    "dataset", [{"name": "celeba-hq"}, {"filter": "box"}, {"num_images": None}, {"name": None}, {"name": "faces 2"}]
)
def test_other_images_have_no_known_labels(tmp_path, dataset):
    write_config(tmp_path, **{"name": "faces", **dataset})
    assert training_data(tmp_path) is None


def test_a_damaged_config_is_named(tmp_path):
    assert training_data(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is no run's config"):
        training_data(tmp_path)


# ---------------------------------------------------------------------------------------------------------- planes


@pytest.mark.parametrize("space", [0, 1])
def test_the_drawn_lines_part_the_samples_as_the_planes_do(space):
    found, labels = labelled()[space], labelled()[2]
    planes = fitted(found, labels)
    plane = projected(found, planes)
    sides = plane.points @ plane.lines[:, :2].T + plane.lines[:, 2] > 0
    assert np.array_equal(sides, planes.predict_all(found))
    assert np.allclose(plane.points.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(plane.points.std(axis=0), 1)
    unit = planes.coef / np.linalg.norm(planes.coef, axis=1)[:, None]
    assert plane.cosine == pytest.approx(unit[0] @ unit[1])


def test_held_out_sides_learn_nothing_from_labels_without_meaning():
    z = np.random.default_rng(1).normal(size=(200, 60))
    labels = np.random.default_rng(2).random((200, 2)) > 0.5
    assert (fitted(z, labels).predict_all(z) == labels).mean() > 0.75
    assert 0.38 < (held_out_sides(z, labels, seed=0) == labels).mean() < 0.62


def test_what_the_sides_tell_is_counted():
    z, w, labels = labelled()
    sides = {"z": held_out_sides(z, labels, seed=0), "w": held_out_sides(w, labels, seed=0)}
    told, difference = tell(sides, labels, (True, False), seed=0)
    for space, found in sides.items():
        table = np.zeros((4, 4))
        np.add.at(table, (found @ [1, 2], labels @ [1, 2]), 1)
        assert told[space].both_right.value == pytest.approx((found == labels).all(axis=1).mean())
        assert told[space].bits_open.value == pytest.approx(float(conditional_entropy(table)))
        assert told[space].corner_side.value == pytest.approx((found[:, 0] & ~found[:, 1]).mean())
        for one in vars(told[space]).values():
            assert one.ci95[0] < one.value < one.ci95[1]
    assert told["w"].both_right.value > 0.97 > 0.85 > told["z"].both_right.value
    assert difference.value == pytest.approx(told["z"].bits_open.value - told["w"].bits_open.value)
    assert 0 < difference.ci95[0] < difference.value < difference.ci95[1]
    assert tell({"z": sides["z"]}, labels, (True, False), seed=0)[1] is None


def test_the_bootstrap_is_as_wide_as_a_share_scatters():
    _, w, labels = labelled()
    sides = labels.copy()
    sides[:600] = ~sides[:600]
    told = tell({"w": sides}, labels, (True, True), seed=0)[0]["w"]
    expected = 1.96 * np.sqrt(0.8 * 0.2 / len(w))
    low, high = told.both_right.ci95
    assert (high - low) / 2 == pytest.approx(expected, rel=0.15)


def test_label_bits():
    assert label_bits(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], bool)) == pytest.approx(2)
    assert label_bits(np.array([[0, 0], [1, 0]], bool)) == pytest.approx(1)


def test_planes_that_are_one_are_no_plane():
    z, _, labels = labelled()
    twice = labels[:, [0, 0]]
    with pytest.raises(NoFigureError, match="one direction"):
        projected(z, fitted(z, twice))


# --------------------------------------------------------------------------------------------------------- drawing


def test_the_shaded_field_is_the_corners_side():
    lines = np.array([[1.0, 0.0, -0.5], [0.4, 1.0, 0.3]])
    for corner_values in COMBINATIONS:
        polygon = np.array(field(lines, corner_values))
        sides = polygon @ lines[:, :2].T + lines[:, 2]
        for column, value in enumerate(corner_values):
            assert (sides[:, column] * (1 if value else -1) > -1e-9).all()
        x, y = polygon.T
        area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        grid = np.random.default_rng(0).uniform(-3.6, 3.6, (40000, 2))
        inside = ((grid @ lines[:, :2].T + lines[:, 2] > 0) == np.array(corner_values)).all(axis=1)
        assert area == pytest.approx(inside.mean() * 7.2**2, rel=0.05)


def test_what_lies_on_one_side_is_kept_whole_or_not_at_all():
    square = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    assert _clipped(square, np.array([1.0, 0.0, 5.0])) == square
    assert _clipped(square, np.array([1.0, 0.0, -5.0])) == []


def test_the_figure_of_a_missing_corner(run):
    plot, says = corner(RENDERER, material=material(run))
    assert says["title"] == "The missing corner: Male and Smiling"
    assert (says["corner_is"], says["settings"]["corner"]) == ("left out", "Male=1 Smiling=0")
    assert says["training_counts"]["10"] == 0 < says["full_counts"]["10"]
    assert sum(says["sample_counts"].values()) == 3000
    assert says["spaces"]["z"]["bits_open"]["value"] > says["spaces"]["w"]["bits_open"]["value"]
    assert json.loads(json.dumps(says)) == json.loads(json.dumps(says, allow_nan=False))
    assert "left out of the training data" in says["caption"]
    panels = plot.figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "(a) Training data", "(b) Latent space Z", "(c) Latent space W"]  # fmt: skip
    for axes in panels[1:]:
        assert axes.get_xlabel() == "along Male (standard deviations)"
        assert axes.get_ylabel() == "along Smiling, orthogonal to Male"
        small = [found for found in axes.collections if isinstance(found, PathCollection) and found.get_sizes()[0] < 50]
        assert 1900 < sum(len(found.get_offsets()) for found in small) <= 2000
    words = " ".join(text.get_text() for text in plot.figure.texts)
    assert "trained without Male=1 Smiling=0" in words
    assert plot.pixels().shape[2] == 3


def test_dots_are_as_many_as_their_share_of_the_data(run):
    plot, says = corner(RENDERER, material=material(run))
    dots = {len(found.get_offsets()) for found in plot.figure.axes[0].collections if isinstance(found, PathCollection)}
    total = sum(says["training_counts"].values())
    assert dots == {round(1200 * count / total) for count in says["training_counts"].values()}


def test_without_a_missing_corner_the_rarest_is_looked_at(tmp_path):
    write_store(tmp_path / "run.h5")
    write_config(tmp_path)
    plot, says = corner(RENDERER, material=material(tmp_path, attributes=MALE_SMILING))
    counts = says["training_counts"]
    assert says["corner_is"] == "rarest"
    rarest = min(counts, key=counts.get)
    assert says["settings"]["corner"] == f"Male={rarest[0]} Smiling={rarest[1]}"
    assert says["full_counts"] is None
    assert says["title"] == "Male and Smiling, no corner missing"
    assert "nothing was left out of training" in " ".join(text.get_text() for text in plot.figure.texts)


def test_a_corner_can_be_named(run):
    pair = (("Young", True), ("Smiling", False))
    plot, says = corner(RENDERER, material=material(run, attributes=pair))
    assert (says["corner_is"], says["settings"]["corner"]) == ("named", "Young=1 Smiling=0")
    assert says["training_counts"]["10"] > 0
    words = " ".join(text.get_text() for text in plot.figure.texts)
    assert "trained without Male=1 Smiling=0, Young=1 Smiling=0 is the combination asked for" in words
    left_out = corner(RENDERER, material=material(run, attributes=(("Male", True), ("Smiling", False))))[1]
    assert left_out["corner_is"] == "left out"


def test_samples_of_unknown_training_data_have_no_panel_of_it(tmp_path):
    write_store(tmp_path / "mine.h5")
    plot, says = corner(RENDERER, material=material(store=tmp_path / "mine.h5", attributes=MALE_SMILING))
    assert len(plot.figure.axes) == 2
    assert says["training_counts"] is None
    assert "may or may not have been in the training data" in says["caption"]


def test_without_a_mapping_there_is_z_alone(run):
    (run / "run.h5").unlink()
    write_store(run / "run.h5", w=None)
    plot, says = corner(RENDERER, material=material(run))
    assert list(says["spaces"]) == ["z"]
    assert says["bits_open_z_minus_w"] is None
    assert [axes.get_title(loc="left") for axes in plot.figure.axes] == ["(a) Training data", "(b) Latent space Z"]


def test_the_figure_is_the_same_twice(run):
    one, other = (corner(RENDERER, material=material(run)) for _ in range(2))
    assert np.array_equal(one[0].pixels(), other[0].pixels())
    assert one[1] == other[1]


# ------------------------------------------------------------------------------------------------------- bad input


def test_what_is_not_there_is_a_reason_to_leave_it_out(tmp_path):
    with pytest.raises(NoFigureError, match="nothing was left out of the training data"):
        corner(RENDERER, material=material(tmp_path))
    with pytest.raises(NoFigureError, match=r"no samples of fake are here.*--store"):
        corner(RENDERER, material=material(tmp_path, attributes=MALE_SMILING))
    write_config(tmp_path, "faces without Male=1 Smiling=0 Young=1")
    with pytest.raises(NoFigureError, match="3 attributes were left out"):
        corner(RENDERER, material=material(tmp_path))


def test_a_store_of_another_network_is_refused_where_it_was_named(tmp_path):
    write_store(tmp_path / "run.h5", network=NetworkName(name="other", sha256="0" * 64))
    with pytest.raises(StoreError, match="samples of other"):
        corner(RENDERER, material=material(store=tmp_path / "run.h5", attributes=MALE_SMILING))
    with pytest.raises(NoFigureError, match="samples of other"):
        corner(RENDERER, material=material(tmp_path, attributes=MALE_SMILING))


def test_a_store_without_labels_is_refused_where_it_was_named(tmp_path):
    write_store(tmp_path / "run.h5", logits=None)
    with pytest.raises(StoreError, match="logits"):
        corner(RENDERER, material=material(store=tmp_path / "run.h5", attributes=MALE_SMILING))
    with pytest.raises(NoFigureError, match="logits"):
        corner(RENDERER, material=material(tmp_path, attributes=MALE_SMILING))


def test_attributes_must_be_in_the_store(run):
    with pytest.raises(UsageError, match="no attribute is called 'Smilin': did you mean Smiling") as error:
        corner(RENDERER, material=material(run, attributes=(("Male", None), ("Smilin", None))))
    assert not isinstance(error.value, NoFigureError)
    (run / "run.h5").unlink()
    write_store(run / "run.h5", names=("Tall", "Smiling", "Young"))
    with pytest.raises(NoFigureError, match="no attribute is called 'Male'"):
        corner(RENDERER, material=material(run))
    with pytest.raises(UsageError, match="name two"):
        corner(RENDERER, material=material(run, attributes=(("Young", None),)))


def test_samples_that_all_have_an_attribute_show_nothing(run):
    (run / "run.h5").unlink()
    logits = np.random.default_rng(0).normal(size=(3000, 3))
    logits[:, 0] = 1
    write_store(run / "run.h5", logits=logits)
    with pytest.raises(NoFigureError, match="all of the 3,000 samples are Male=1"):
        corner(RENDERER, material=material(run))


def test_too_few_samples_show_nothing(run):
    (run / "run.h5").unlink()
    write_store(run / "run.h5", count=22)
    with pytest.raises(NoFigureError, match="at least 23"):
        corner(RENDERER, material=material(run))


def test_shares_are_never_rounded_to_none_or_all():
    assert [share(*parts) for parts in ((0, 5), (1, 100_000), (1, 7), (5, 5))] == ["0 %", "0.001 %", "14 %", "100 %"]
    assert share(999, 1000) == "99.9 %"

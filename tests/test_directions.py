"""Attribute directions: fitting, conditioning, the file, boundaries and the heat map."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from tiny_store import foreign

from latentlab.directions.boundaries import check_boundaries, save_boundaries
from latentlab.directions.conditioning import conditioned, orthogonal_part
from latentlab.directions.fitting import NOT_CONVERGED, ONE_CLASS, attribute_directions
from latentlab.directions.form import Directions, load_directions, save_directions
from latentlab.directions.heatmaps import clustered, save_cosines
from latentlab.errors import (
    DataError,
    DegenerateWarning,
    DirectionsError,
    OutputExistsError,
    StoreError,
    UsageError,
)
from latentlab.store import LatentStore
from latentlab.svm import LinearSVMs

NAMES = ("Male", "Smiling", "Young")
TRUTH = np.array([[1.0, 0, 0, 0, 0], [0.6, 0.8, 0, 0, 0], [0, 0, 0, 0.6, -0.8]])
"""Directions of the attributes in Z: Male and Smiling have the cosine 0.6."""
STRETCH = np.array([1.0, 1, 1, 4, 1])
"""W is Z, stretched."""


def write_store(path: Path, *, count: int = 4000, attributes=NAMES, shift: float = 0.0, **arrays) -> Path:
    """Latents whose logits are linear in z along TRUTH."""
    z = np.random.default_rng(0).normal(size=(count, 5))
    logits = 3 * z @ TRUTH.T + shift
    arrays = {"z": z, "w": z * STRETCH, "logits": logits, **arrays}
    network = json.dumps({"name": "net", "sha256": "a" * 64})
    names = [*attributes[: arrays["logits"].shape[1]]]
    return foreign(
        path,
        attributes={"attributes": names, "network": network, "seed": 3},
        **{name: np.asarray(values, np.float32) for name, values in arrays.items() if values is not None},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "run.h5")


def fitted(path: Path, **options) -> Directions:
    with LatentStore.open(path) as opened:
        return attribute_directions(opened, **options)


@pytest.fixture(scope="module")
def found(store) -> Directions:
    return fitted(store, space="z", conditions={"Smiling": ["Male"]})


def same(one: Directions, other: Directions) -> None:
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(other, name))
        else:
            assert value == getattr(other, name), name


# ------------------------------------------------------------------------------------------------------------ fitting


def test_directions_point_to_where_attributes_are_present(store):
    directions = fitted(store, space="z")
    np.testing.assert_allclose(directions.directions, TRUTH, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(directions.directions, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(directions.scale, 1, atol=0.05)  # z is standard normal
    np.testing.assert_allclose(directions.intercepts, 0, atol=0.05)
    np.testing.assert_allclose(directions.cosines, TRUTH @ TRUTH.T, atol=0.05)
    np.testing.assert_allclose(directions.share_positive, 0.5, atol=0.05)
    assert (directions.accuracy > 0.99).all()
    np.testing.assert_array_equal(
        directions.num_rarer, np.rint(np.minimum(directions.share_positive, 1 - directions.share_positive) * 2000)
    )
    assert (directions.held_out_accuracy > 0.99).all()
    assert directions.valid.all()


def test_w_is_the_default_and_its_scale_is_its_own(store):
    directions = fitted(store)
    assert directions.space == "w"
    with LatentStore.open(store) as opened:
        np.testing.assert_allclose(directions.scale, (opened.w @ directions.directions.T).std(axis=0), rtol=1e-5)
        plane = (opened.w @ directions.directions.T + directions.intercepts) > 0
        kept = np.argsort(-np.abs(opened.logits[:, 2]))[:2000]
        assert (plane[kept, 2] == (opened.logits[kept, 2] > 0)).mean() == pytest.approx(directions.accuracy[2])
    assert not np.allclose(directions.directions, TRUTH, atol=0.1)


def test_intercepts_are_signed_distances(tmp_path):
    directions = fitted(write_store(tmp_path / "run.h5", shift=1.5), space="z")
    np.testing.assert_allclose(directions.intercepts, 0.5, atol=0.08)  # logits are 3 z . direction + 1.5


def test_held_out_accuracy_is_of_samples_that_were_not_seen(tmp_path):
    logits = np.random.default_rng(1).normal(size=(300, 1))  # nothing in z tells them
    random = write_store(
        tmp_path / "run.h5", count=300, logits=logits, z=np.random.default_rng(2).normal(size=(300, 60))
    )
    directions = fitted(random, space="z", num_keep=150)
    assert directions.accuracy[0] > 0.75
    assert directions.held_out_accuracy[0] < 0.7


def test_the_same_again_and_other_samples_held_out_under_another_seed(store):
    options = {"space": "z", "num_keep": 4000, "conditions": {"Smiling": ["Male"]}}
    first, again, other = fitted(store, **options), fitted(store, **options), fitted(store, **options, seed=1)
    same(first, again)
    np.testing.assert_array_equal(first.directions, other.directions)
    assert not np.array_equal(first.held_out_accuracy, other.held_out_accuracy)


def test_provenance_names_network_samples_and_solver(store):
    provenance = fitted(store, num_keep=100).provenance
    assert provenance["store"]["network"] == {"name": "net", "sha256": "a" * 64}
    assert provenance["store"]["num_samples"] == 4000
    assert provenance["num_keep"] == 100
    assert provenance["solver"]
    json.dumps(provenance)


def test_one_class_attributes_stay_marked_invalid(tmp_path):
    logits = np.random.default_rng(0).normal(size=(500, 3))
    logits[:, 1] = 7.0  # a constant column
    path = write_store(tmp_path / "run.h5", count=500, logits=logits)
    directions = fitted(path, space="z")
    assert directions.valid.tolist() == [True, False, True]
    assert directions.reason == ("", ONE_CLASS, "")
    assert directions.num_rarer[1] == 0
    assert directions.hardly_known.tolist() == [False, False, False]
    assert np.isnan(directions.cosines[1]).all()
    assert not directions.directions[1].any()
    with pytest.raises(UsageError, match="Smiling has no direction in Z: all samples"):
        directions.index("Smiling")
    with pytest.raises(UsageError, match="Smiling has no direction"):
        fitted(path, space="z", conditions={"Male": ["Smiling"]})
    save_directions(tmp_path / "d.npz", directions)
    same(load_directions(tmp_path / "d.npz"), directions)


def test_directions_of_fewer_samples_than_dimensions_are_hardly_known(tmp_path):
    logits = np.random.default_rng(0).normal(size=(500, 3))
    z = np.random.default_rng(1).normal(size=(500, 5))
    logits[:, 1] = np.where(np.arange(500) < 4, 9.0, -9.0)
    logits[:, 2] = np.where(np.arange(500) < 5, -9.0, 9.0)
    z[:5, 0] += 9
    directions = fitted(write_store(tmp_path / "run.h5", count=500, logits=logits, z=z), space="z", num_keep=500)
    assert directions.num_rarer.tolist() == [min((logits[:, 0] > 0).sum(), (logits[:, 0] <= 0).sum()), 4, 5]
    assert directions.hardly_known.tolist() == [False, True, False]
    save_boundaries(tmp_path / "b", directions)
    described = json.loads((tmp_path / "b" / "boundaries.json").read_text())["boundaries"]["Smiling"]
    assert described["num_rarer"] == 4
    assert described["share_positive"] == pytest.approx(4 / 500)
    assert described["hardly_known"] is True
    save_cosines(tmp_path / "a.svg", directions)
    text = (tmp_path / "a.svg").read_text()
    assert "Smiling †" in text
    assert "Young †" not in text
    assert "† hardly known: fewer samples of the rarer class than dimensions (5)" in text


def test_all_of_one_class_is_an_error(tmp_path):
    path = write_store(tmp_path / "run.h5", count=500, logits=np.full((500, 3), 2.0))
    with pytest.raises(
        DataError, match=r"none of the 3 attributes has a direction in W: all samples .* one class \(3\)"
    ):
        fitted(path)


def test_a_fit_that_did_not_converge_is_invalid(store, monkeypatch):
    def unconverged(x, labels, keep, *, solver="fake", progress=None):
        count = labels.shape[1]
        ends = np.array([False, *[True] * (count - 1)])
        return LinearSVMs(
            np.ones((count, x.shape[1])), np.zeros(count), np.ones(count, bool), ends, np.ones(count), "newton"
        )

    monkeypatch.setattr("latentlab.directions.fitting.fit_linear_svms", unconverged)
    assert fitted(store).reason == (NOT_CONVERGED, "", "")


def test_constant_columns_have_no_part(tmp_path):
    z = np.random.default_rng(0).normal(size=(4000, 5))
    z[:, 2] = 100.0
    path = write_store(tmp_path / "run.h5", z=z)
    with pytest.warns(DegenerateWarning, match=r"1 of 5 columns of z are constant \(2\)"):
        directions = fitted(path, space="z", conditions={"Smiling": ["Male"]})
    assert not directions.directions[:, 2].any()
    np.testing.assert_allclose(directions.normals, TRUTH, atol=0.05)
    with pytest.raises(DataError, match="w is the same in all samples"):
        fitted(write_store(tmp_path / "still.h5", w=np.ones((4000, 5))), space="w")


@pytest.mark.parametrize(("count", "keep"), [(10, None), (4000, 5), (4000, 7)])
def test_fewer_samples_than_dimensions(tmp_path, count, keep):
    path = write_store(tmp_path / "run.h5", count=count)
    with pytest.raises(UsageError, match=r"would be kept per attribute, in 5 dimensions.*Keep at least 8"):
        fitted(path, num_keep=keep)


def test_more_than_there_are(store):
    with pytest.raises(UsageError, match="5000 samples shall be kept per attribute, but there are only 4000"):
        fitted(store, num_keep=5000)


def test_numbers_that_are_not_finite(tmp_path):
    w = np.ones((4000, 5))
    w[17, 3] = np.nan
    with pytest.raises(StoreError, match=r"w is not finite .* first in row 17"):
        fitted(write_store(tmp_path / "run.h5", w=w))


def test_names_that_are_there_twice(tmp_path):
    path = write_store(tmp_path / "run.h5", attributes=("Male", "Smiling", "Male"))
    with pytest.raises(DataError, match="Male is there more than once"):
        fitted(path)


def test_a_single_attribute(tmp_path):
    path = write_store(
        tmp_path / "run.h5", attributes=("Male",), logits=np.random.default_rng(0).normal(size=(4000, 1))
    )
    directions = fitted(path, space="z")
    save_cosines(tmp_path / "a.png", directions)
    assert directions.cosines.tolist() == [[pytest.approx(1)]]


def test_latents_too_far_apart_for_a_scale_have_no_direction(store, monkeypatch):
    monkeypatch.setattr("latentlab.directions.fitting._spread", lambda *_: np.array([1.0, 0.0, 1.0]))
    assert fitted(store).reason == ("", "no plane separates its samples", "")


def test_a_store_without_w(tmp_path):
    path = write_store(tmp_path / "run.h5", w=None)
    assert fitted(path).space == "z"
    with pytest.raises(StoreError, match=r"lacks w: take the other space"):
        fitted(path, space="w")


# ------------------------------------------------------------------------------------------------------- conditioning


def test_a_conditioned_direction_leaves_the_other_alone(found, store):
    plain = fitted(store, space="z")
    assert found.cosines_unconditioned[0, 1] == pytest.approx(plain.cosines[0, 1])
    assert found.cosines[0, 1] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(found.directions[1], [0, 1, 0, 0, 0], atol=0.08)
    np.testing.assert_array_equal(found.normals, plain.normals)
    np.testing.assert_array_equal(found.directions[[0, 2]], plain.directions[[0, 2]])
    assert found.conditioned_on == ((), ("Male",), ())
    assert 0.7 < found.accuracy[1] < plain.accuracy[1]  # the sign of 0.8 z_1 alone
    assert found.held_out_accuracy[1] == pytest.approx(found.accuracy[1], abs=0.05)
    assert found.scale[1] == pytest.approx(1, abs=0.05)


def test_the_span_of_all_others_is_taken_off_at_once():
    others = np.array([[1.0, 0, 0], [1, 1, 0]]) / [[1], [np.sqrt(2)]]
    rest, angle = orthogonal_part(np.ones(3), others)
    np.testing.assert_allclose(rest, [0, 0, 1], atol=1e-12)
    assert angle == pytest.approx(np.degrees(np.arcsin(1 / np.sqrt(3))))
    twice, _ = orthogonal_part(np.ones(3), np.array([others[0], others[0]]))
    np.testing.assert_allclose(twice, np.array([0, 1, 1]) / np.sqrt(2), atol=1e-12)


def test_nothing_left():
    normals = np.array([[1, 0.01, 0], [1, 0, 0]])
    with pytest.raises(UsageError, match=r"Smiling cannot be made orthogonal to Male: .* 0.57 degrees"):
        conditioned("Smiling", ["Male"], normals)
    with pytest.raises(UsageError, match="0 degrees"):
        conditioned("Smiling", ["Male", "Young", "Bald"], np.array([[1.0, 2], [1, 0], [0, 1], [1, 1]]))


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"Smiling": ["Mael"]}, "did you mean Male?"),
        ({"Xyz": ["Male"]}, "no attribute is called 'Xyz': there are Male, Smiling, Young"),
        ({"Smiling": ["Smiling"]}, "orthogonal to Smiling: name others"),
        ({"Smiling": []}, "orthogonal to nothing"),
    ],
)
def test_conditions_that_make_no_sense(store, conditions, message):
    with pytest.raises(UsageError, match=message):
        fitted(store, conditions=conditions)


# ----------------------------------------------------------------------------------------------------------- the file


def test_the_file_comes_back(found, tmp_path):
    save_directions(tmp_path / "d.npz", found)
    same(load_directions(tmp_path / "d.npz"), found)
    with np.load(tmp_path / "d.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["cosines"], found.cosines)
        assert stored["attributes"].tolist() == list(NAMES)
        assert json.loads(str(stored["provenance"]))["store"]["seed"] == 3


def test_stores_of_other_tools_may_say_more_of_their_network(tmp_path):
    store = write_store(tmp_path / "run.h5", count=500)
    with h5py.File(store, "r+") as file:
        file.attrs["network"] = json.dumps({"name": "net", "sha256": "a" * 64, "resolution": 64})
    directions = fitted(store, space="z")
    save_directions(tmp_path / "d.npz", directions)
    loaded = load_directions(tmp_path / "d.npz")
    assert loaded.provenance["store"]["network"]["resolution"] == 64
    same(loaded, directions)


def changed(path: Path, found: Directions, **changes) -> Path:
    save_directions(path, found)
    with np.load(path) as stored:
        arrays = {**stored, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 7}, "has schema version 7, and this LatentLab reads version 1"),
        ({"schema_version": None}, "is no file of directions; it holds accuracy"),
        ({"scale": None, "reason": None}, "lacks scale, reason"),
        ({"scale": np.zeros(3)}, "scale is not above 0"),
        ({"scale": np.ones(2)}, r"\[2\] where \[3\] was expected"),
        ({"directions": np.ones((3, 5))}, "not of unit length"),
        ({"directions": np.full((3, 5), np.nan)}, "not of unit length"),
        ({"directions": np.ones(3)}, r"directions have the shape \[3\] instead of \[A, D\]"),
        ({"num_rarer": None}, "lacks num_rarer: make it again"),
        ({"num_rarer": np.array([1, 2, -3])}, "num_rarer is below 0"),
        ({"num_rarer": np.ones(3)}, r"float64 \[3\] where \[3\]"),
        ({"space": np.array(["z"])}, "where a text was expected"),
        ({"space": "y"}, "its space is 'y'"),
        ({"attributes": np.array(["a", "a", "Male"])}, "it names a more than once"),
        ({"provenance": "{"}, "provenance: Invalid JSON"),
        ({"provenance": "[]"}, r"provenance: .* and is \[\]"),
        ({"provenance": '{"store": "x"}'}, "provenance: store: .* and is 'x'"),
        ({"provenance": '{"store": {"network": "foo"}}'}, "provenance: store.network: .* and is 'foo'"),
        ({"provenance": '{"store": {"network": {"name": "n"}}}'}, "provenance: store.network.sha256: Field required"),
        ({"provenance": '{"store": {"truncation_psi": "1"}}'}, "provenance: store.truncation_psi"),
        ({"conditioned_on": np.array(["[]", "[1]", "[]"])}, "conditioned_on of Smiling: 0: .* and is 1"),
        ({"conditioned_on": np.array(["[]", '"abc"', "[]"])}, "conditioned_on of Smiling: .* and is 'abc'"),
        ({"conditioned_on": np.array(["[]", "[", "[]"])}, "conditioned_on of Smiling: Invalid JSON"),
        ({"conditioned_on": np.array(["[]", '["Bald"]', "[]"])}, "names Bald, which is no other attribute"),
        ({"conditioned_on": np.array(['["Male"]', "[]", "[]"])}, "names Male, which is no other attribute"),
        ({"valid": np.ones(3)}, "is damaged"),
    ],
)
def test_files_that_cannot_be_used(found, tmp_path, changes, message):
    with pytest.raises(DirectionsError, match=message):
        load_directions(changed(tmp_path / "d.npz", found, **changes))


def test_damaged_and_foreign_files(found, tmp_path):
    path = tmp_path / "d.npz"
    with pytest.raises(DirectionsError, match="no such file of directions"):
        load_directions(path)
    save_directions(path, found)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DirectionsError, match=r"is cut short\. Name a file that `latentlab directions` wrote\."):
        load_directions(path)
    place = content.index(found.directions.tobytes())
    content[place + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DirectionsError, match=r"cannot be read as an \.npz file: Bad CRC-32"):
        load_directions(path)
    path.write_text("text")
    with pytest.raises(DirectionsError, match=r"is no \.npz file\. Name a file"):
        load_directions(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(DirectionsError, match=r"is no file of directions; it holds a\."):
        load_directions(path)


def test_a_full_disk_leaves_the_earlier_file(found, tmp_path, monkeypatch):
    save_directions(tmp_path / "d.npz", found)
    before = (tmp_path / "d.npz").read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space"):
        save_directions(tmp_path / "d.npz", found)
    assert (tmp_path / "d.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["d.npz"]


def test_the_file_is_read_without_torch():
    script = (
        "import sys, latentlab.directions.form, latentlab.directions.boundaries, latentlab.directions.conditioning\n"
    )
    script += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


# --------------------------------------------------------------------------------------------------------- boundaries


def test_boundaries_are_what_editing_scripts_read(found, tmp_path):
    files = save_boundaries(tmp_path / "b", found)
    assert files == ["Male_z.npy", "Smiling_z.npy", "Young_z.npy"]
    boundary = np.load(tmp_path / "b" / "Smiling_z.npy", allow_pickle=False)
    assert (boundary.dtype, boundary.shape) == (np.float32, (1, 5))
    np.testing.assert_allclose(boundary[0], found.directions[1], atol=1e-7)
    index = json.loads((tmp_path / "b" / "boundaries.json").read_text())
    assert index["space"] == "z"
    assert index["boundaries"]["Smiling"]["conditioned_on"] == ["Male"]
    assert index["boundaries"]["Male"]["intercept"] == found.intercepts[0]
    assert index["provenance"]["store"]["network"]["sha256"] == "a" * 64


def test_boundaries_leave_invalid_attributes_and_other_folders_alone(found, tmp_path):
    invalid = replace(found, valid=np.array([True, False, True]))
    folder = tmp_path / "b"
    assert save_boundaries(folder, found) != save_boundaries(folder, invalid, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["Male_z.npy", "Young_z.npy", "boundaries.json"]
    with pytest.raises(OutputExistsError, match="exists already"):
        save_boundaries(folder, found)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="holds other things than boundaries"):
        save_boundaries(folder, found, overwrite=True)
    assert (folder / "mine.txt").read_text() == "mine"
    with pytest.raises(DirectionsError, match="cannot each be a file's name: a/b, Male, male"):
        check_boundaries(tmp_path / "c", ("a/b", "Male", "male"))
    with pytest.raises(DirectionsError, match=r"file's name: é{60}\.\.\. \(125 letters\)\. Leave out the folder"):
        check_boundaries(tmp_path / "c", ("é" * 124, "é" * 125))  # two bytes each
    assert not (tmp_path / "c").exists()


# ----------------------------------------------------------------------------------------------------------- heat map


def test_alike_directions_stand_together():
    angles = np.radians([0, 180, 10, 190, 20, 200])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    order = clustered(vectors @ vectors.T).tolist()
    assert {frozenset(order[:3]), frozenset(order[3:])} == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}
    assert order[1] in (2, 3)
    assert order[4] in (2, 3)
    assert clustered(np.eye(1)).tolist() == [0]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_names_are_drawn_as_they_are(found, tmp_path, ending):
    strange = replace(found, attributes=(r"a$\frac$b", "c$x_1$", "d\x00\te"), conditioned_on=((), (), ()))
    provenance = {"store": {"network": {"name": r"$\frac$", "sha256": "unknown"}}}
    save_cosines(tmp_path / f"a.{ending}", replace(strange, provenance=provenance))
    if ending == "svg":
        text = (tmp_path / "a.svg").read_text()
        for words in (r"a$\frac$b", "c$x 1$", "d  e", r"$\frac$"):
            assert f">{words}<" in text


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_heat_map_is_the_same_again(found, tmp_path, ending):
    for name in ("a", "b"):
        save_cosines(tmp_path / f"{name}.{ending}", found)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_the_heat_map_says_what_it_shows(found, tmp_path):
    save_cosines(tmp_path / "a.svg", replace(found, valid=np.array([True, True, False])))
    text = (tmp_path / "a.svg").read_text()
    for words in ("Smiling *", "Male", "* Smiling: orthogonal to Male", "directions in Z", ">0.00<"):
        assert words in text
    assert "Young" not in text


def test_its_colours_are_the_cosines(store, tmp_path):
    directions = fitted(store, space="z")
    save_cosines(tmp_path / "a.png", directions)
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3).astype(int)
    from matplotlib import colormaps

    for cosine in (directions.cosines[0, 1], directions.cosines[0, 2]):
        colour = (np.array(colormaps["RdBu_r"]((cosine + 1) / 2)[:3]) * 255).round()
        assert (np.abs(pixels - colour).max(axis=1) <= 1).sum() > 1000, cosine


def test_pictures_of_no_known_kind(found, tmp_path):
    with pytest.raises(UsageError, match=r"pictures end in \.png, \.svg, \.pdf"):
        save_cosines(tmp_path / "a.bmp", found)

"""`latentlab figures`: what the pictures show, that they show all of it, and the command."""

import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator
from labelled_run import write_stats, write_store
from PIL import Image
from typer.testing import CliRunner

import latentlab.figures.folder
from latentlab.cli import app
from latentlab.errors import DataError, NoFigureError, OutputExistsError, UsageError
from latentlab.figures import FIGURES, FigureSettings, Renderer, Sources, figure_names, save_figures
from latentlab.figures import mixing as mixing_figure
from latentlab.figures.folder import OF_MATERIAL
from latentlab.figures.interpolation import NOISE, STREAM, MeanSquaredDifference, interpolation, path_speeds, walked
from latentlab.figures.layer_groups import layer_groups, layers_in_words, noise_groups
from latentlab.figures.mixing import mixing
from latentlab.figures.noise_detail import busiest, deviation, grey_levels, noise
from latentlab.figures.noise_layers import layers
from latentlab.figures.rendering import fitted, tile_size
from latentlab.figures.samples import samples, scales
from latentlab.figures.sheet import Sheet, nice_top
from latentlab.figures.truncation import PSIS, truncation
from latentlab.interop.generators import wrap_generator
from latentlab.latents import lerp, sample_z, truncate
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.protocols import draw_noise

PAGE = (Path(__file__).parent.parent / "docs" / "figures.md").read_text(encoding="utf-8")
GENERATOR = "fake_generator:FakeGenerator"
OF_IMAGES = [name for name in FIGURES if name not in OF_MATERIAL]
FEW = FigureSettings(noise_draws=6, num_pairs=2, speed_points=3)


def style_generator(resolution: int = 16, **config: object) -> Generator:
    """With noise that is seen."""
    fields = {"resolution": resolution, "fmap_base": 64, "fmap_max": 8, "z_dim": 8, "w_dim": 8, "mapping_fmaps": 8}
    shape = GeneratorConfig.model_validate({**fields, "mapping_layers": 2, **config})
    generator = initialised(lambda: Generator(shape), 0).eval()
    with torch.no_grad():
        for name, parameter in generator.synthesis.named_parameters():
            if "noise" in name:
                parameter.fill_(0.2)
        generator.w_avg.copy_(sample_z(7, slice(0, 1), 8)[0] * 0.2)
    return generator


def renderer(generator=None, settings: FigureSettings = FEW) -> Renderer:
    return Renderer(generator or style_generator(), NETWORK, settings)


def places(picture: np.ndarray, tile: np.ndarray) -> list[tuple[int, int]]:
    """Where a picture holds an image, as (top, left); batches of other sizes may round to the next level."""
    height, width, _ = tile.shape
    rows, columns = picture.shape[0] - height + 1, picture.shape[1] - width + 1
    probes = [(0, 0), (height - 1, width - 1), (height // 2, width // 3), (height // 5, width - 2)]
    fits = np.ones((rows, columns), bool)
    for y, x in probes:
        part = picture[y : y + rows, x : x + columns].astype(int)
        fits &= (np.abs(part - tile[y, x]) <= 1).all(axis=-1)
    found = []
    for top, left in np.argwhere(fits):
        part = picture[top : top + height, left : left + width].astype(int)
        if np.abs(part - tile).max() <= 1:
            found.append((int(top), int(left)))
    return found


def drawn(images: torch.Tensor, tile: int) -> list[np.ndarray]:
    return list(fitted(images.detach(), tile).numpy())


# ------------------------------------------------------------------------------------------------------ all figures


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize(
    "generator",
    [
        lambda: style_generator(8, num_channels=1),
        lambda: style_generator(32),
        lambda: FakeGenerator(resolution=50, foreign=True),
        lambda: FakeGenerator(resolution=300),
    ],
    ids=["8 px grey", "32 px", "50 px foreign", "300 px"],
)
def test_nothing_is_cut_off_and_the_caption_names_the_network(name, generator):
    pixels, shown = FIGURES[name](renderer(generator()))
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    edges = [pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]]
    assert all((edge == 255).all() for edge in edges)
    assert 300 < pixels.shape[1] < 2600
    assert shown["caption"].endswith(".")
    assert NETWORK.name in shown["caption"]
    assert shown["settings"]["seed"] == 0


@pytest.mark.parametrize("name", OF_IMAGES)
def test_pictures_are_functions_of_the_seed(name):
    first, again = (FIGURES[name](renderer())[0] for _ in range(2))
    assert np.array_equal(first, again)
    other = FIGURES[name](renderer(settings=FigureSettings(seed=1, noise_draws=6, num_pairs=2, speed_points=3)))[0]
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_progress_comes_to_its_end():
    for name in OF_IMAGES:
        figure = FIGURES[name]
        told: list[tuple[int, int]] = []
        figure(renderer(), progress=lambda done, total, note="", told=told: told.append((done, total)))
        assert told[0][0] == 0
        assert told[-1][0] == told[-1][1], name
        assert all(done <= total for done, total in told)


def test_small_images_become_whole_multiples_and_large_ones_means_of_boxes():
    assert [tile_size(size) for size in (8, 32, 50, 128, 200, 256, 1024)] == [128, 128, 150, 128, 200, 256, 256]
    small = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    enlarged = fitted(small, 128)[0].numpy()
    assert np.array_equal(enlarged[::16, ::16, 0], fitted(small, 8)[0, :, :, 0].numpy())
    assert (enlarged.reshape(8, 16, 8, 16, 3) == enlarged[::16, None, ::16, None]).all()
    large = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0)) * 2 - 1
    means = large.reshape(1, 3, 256, 4, 256, 4).mean(dim=(3, 5))
    assert np.abs(fitted(large, 256).numpy().astype(int) - fitted(means, 256).numpy()).max() <= 1


def test_a_sheet_is_as_large_as_what_lies_on_it():
    sheet = Sheet(128)
    sheet.text(20, 30, "A line that is much longer than any of the images on the sheet would be", bold=True)
    pixels = sheet.array()
    assert (pixels != 255).any()
    assert (pixels[:, -8:] == 255).all()
    assert pixels.shape[1] > 300
    narrow = Sheet(128)
    narrow.text(20, 30, "A line that is much longer than the room it has", room=60)
    assert narrow.array().shape[1] <= 20 + 60 + narrow.margin + 1


def test_scales_end_at_round_numbers():
    assert [nice_top(value) for value in (1, 1.01, 0.23, 37, 4100, 9.5e-7)] == [1, 1.5, 0.25, 40, 5000, 1e-6]


# --------------------------------------------------------------------------------------------------------- samples


def test_samples_are_those_of_the_command_sample():
    generator = style_generator()
    rows = slice(0, 40)
    ws = truncate(generator.mapping(sample_z(0, rows, 8)), generator.w_avg, 0.5)
    images = generator.synthesis(ws, noise=draw_noise(generator, rows, seed=0))
    picture, shown = samples(renderer(generator, FigureSettings(truncation_psi=0.5)))
    found = [places(picture, tile) for tile in drawn(images, 128)]
    assert all(len(place) == 1 for place in found)
    assert [place[0] for place in found] == sorted(place[0] for place in found)
    assert shown["settings"] == {"seed": 0, "truncation_psi": 0.5, "num_samples": 40}


def test_scales_show_the_same_samples_ever_smaller():
    generator = style_generator()
    rows = slice(0, 12)
    images = generator.synthesis(generator.mapping(sample_z(0, rows, 8)), noise=draw_noise(generator, rows, seed=0))
    picture, shown = scales(renderer(generator))
    assert shown["sizes"] == [256, 128, 64, 32]
    lefts = []
    for row, size in ((0, 256), (2, 256), (3, 128), (8, 128), (9, 64)):
        (place,) = places(picture, drawn(images[row : row + 1], size)[0])
        lefts.append(place[1])
    assert lefts[0] == lefts[1]
    assert lefts[2] == lefts[3] == lefts[0] + 256
    assert lefts[4] == lefts[2] + 128


# ---------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize(
    ("num_ws", "sizes"),
    [(18, (4, 4, 10)), (16, (4, 4, 8)), (12, (4, 4, 4)), (10, (4, 4, 2)), (9, (2, 2, 5)), (8, (2, 2, 4)),
     (6, (2, 2, 2)), (4, (1, 1, 2)), (3, (1, 1, 1))],
)  # fmt: skip
def test_groups_of_layers(num_ws, sizes):
    groups = layer_groups(num_ws)
    assert tuple(map(len, groups.values())) == sizes
    assert [layer for group in groups.values() for layer in group] == list(range(num_ws))


def test_two_layers_are_coarse_and_fine():
    assert layer_groups(2) == {"coarse": range(1), "fine": range(1, 2)}


@pytest.mark.parametrize(("resolution", "fine"), [(1024, "layers 8–17, 64–1024 pixels"), (64, "layers 8–9, 64 pixels")])
def test_from_64_pixels_on_groups_are_the_papers(resolution, fine):
    generator = style_generator(resolution, fmap_base=1024, fmap_max=2)
    words = [layers_in_words(generator, group) for group in layer_groups(generator.num_ws).values()]
    assert words == ["layers 0–3, 4–8 pixels", "layers 4–7, 16–32 pixels", fine]


def test_noise_of_4_to_32_pixels_is_coarse():
    generator = style_generator(1024, fmap_base=1024, fmap_max=2)
    heights = [height for height, _ in generator.synthesis.noise_shapes]
    assert noise_groups(heights) == ([4, 8, 16, 32], [64, 128, 256, 512, 1024])
    assert noise_groups([4, 8, 16, 32, 64]) == ([4, 8, 16, 32], [64])
    assert noise_groups([4, 8, 16, 32]) == ([4, 8], [16, 32])
    assert noise_groups([4, 4, 8, 8]) == ([4], [8])
    assert noise_groups([4]) == ([4], [])


def test_mixed_images_take_the_layers_that_the_caption_says():
    generator = style_generator()
    picture, shown = mixing(renderer(generator))
    assert [(group["group"], group["first_layer"], group["last_layer"]) for group in shown["groups"]] == [
        ("coarse", 0, 1), ("middle", 2, 3), ("fine", 4, 5)]  # fmt: skip
    a, b = (generator.mapping(sample_z(0, slice(0, count), 8, stream=stream)) for count, stream in (
        (6, mixing_figure.STREAM_A), (5, mixing_figure.STREAM_B)))  # fmt: skip
    taken = [(0, 1), (0, 1), (0, 1), (2, 3), (2, 3), (4, 5)]
    corners = []
    for row, from_b in enumerate(taken):
        noise = draw_noise(generator, slice(row, row + 1), seed=0, stream="figure-mixing-a-noise")
        places_of_row = []
        for column in range(-1, 5):
            ws = a[row : row + 1].clone()
            if column >= 0:
                ws[:, from_b] = b[column, from_b]
            (place,) = places(picture, drawn(generator.synthesis(ws, noise=noise), 128)[0])
            places_of_row.append(place)
        assert len({top for top, _ in places_of_row}) == 1
        assert places_of_row == sorted(places_of_row)
        corners.append(places_of_row)
    assert [row[0] for row in corners] == sorted(row[0] for row in corners)
    heads = generator.synthesis(b, noise=draw_noise(generator, slice(0, 5), seed=0, stream="figure-mixing-b-noise"))
    for column, tile in enumerate(drawn(heads, 128)):
        ((top, left),) = places(picture, tile)
        assert left == corners[0][column + 1][1]
        assert top < corners[0][0][0]


def test_a_network_of_one_latent_cannot_mix():
    generator = style_generator(use_styles=False, const_input=False)
    with pytest.raises(NoFigureError, match=r"one latent for all layers \(num_ws 1\)"):
        mixing(renderer(generator))


# ----------------------------------------------------------------------------------------------------------- noise


def test_the_deviation_is_numpys_over_the_same_draws():
    generator = style_generator()
    ws = generator.mapping(sample_z(0, slice(0, 3), 8, stream="figure-noise"))
    picture, shown = noise(renderer(generator))
    assert shown["settings"]["noise_draws"] == 6
    for row in range(3):
        drawn_noise = draw_noise(generator, slice(0, 6), seed=0, stream=f"figure-noise-noise-{row}")
        images = generator.synthesis(ws[row : row + 1].expand(6, -1, -1), noise=drawn_noise).detach()
        levels = (images.numpy().clip(-1, 1).mean(axis=1, dtype=np.float64) + 1) * 127.5
        expected = np.std(levels, axis=0)
        assert np.allclose(deviation(grey_levels(images).numpy()), expected, atol=1e-3)
        assert shown["deviation_mean"][row] == pytest.approx(expected.mean(), rel=1e-4)
        assert shown["deviation_max"][row] == pytest.approx(expected.max(), rel=1e-4)
        grey = torch.from_numpy(np.clip(expected / shown["scale_top"], 0, 1)[None, None] * 2 - 1)
        assert len(places(picture, drawn(grey, 192)[0])) == 1
        crop = shown["crops"][row]
        part = images[:4, :, crop["top"] : crop["top"] + crop["side"], crop["left"] : crop["left"] + crop["side"]]
        found = [places(picture, tile)[0] for tile in drawn(part, 192)]
        assert len({top for top, _ in found}) == 1
        assert found == sorted(found)


def test_the_busiest_square_has_the_largest_mean():
    values = np.zeros((10, 10))
    values[6:9, 5:8] = 1
    assert busiest(values, 3) == (6, 5)
    values = np.random.default_rng(0).random((12, 12))
    windows = np.lib.stride_tricks.sliding_window_view(values, (4, 4)).mean(axis=(2, 3))
    assert busiest(values, 4) == np.unravel_index(windows.argmax(), windows.shape)


def test_noise_on_some_layers_leaves_the_others_without():
    generator = style_generator()
    picture, shown = layers(renderer(generator))
    assert [column["noise"] for column in shown["columns"]] == ["all", "none", "fine", "coarse"]
    ws = generator.mapping(sample_z(0, slice(0, 3), 8, stream="figure-layers"))
    drawn_noise = draw_noise(generator, slice(0, 3), seed=0, stream="figure-layers-noise")
    kept = {"all": (4, 8, 16), "none": (), "fine": (16,), "coarse": (4, 8)}
    lefts = []
    for name, sizes in kept.items():
        some = [layer if layer.shape[-1] in sizes else torch.zeros_like(layer) for layer in drawn_noise]
        tiles = drawn(generator.synthesis(ws, noise=some), 192)
        found = [places(picture, tile)[0] for tile in tiles]
        assert len({left for _, left in found}) == 1, name
        lefts.append(found[0][1])
    assert lefts == sorted(lefts)
    assert shown["columns"][1]["difference_from_none"] == 0
    assert all(column["difference_from_none"] > 0.1 for column in shown["columns"] if column["noise"] != "none")


def test_generators_that_draw_their_own_noise_have_it_or_not():
    _, shown = layers(renderer(FakeGenerator(foreign=True)))
    assert [column["noise"] for column in shown["columns"]] == ["all", "none"]
    _, shown = noise(renderer(FakeGenerator(foreign=True)))
    assert min(shown["deviation_mean"]) > 1


def test_networks_without_noise_have_no_figures_of_it():
    generator = FakeGenerator(noise=0.0)
    for figure in (noise, layers):
        with pytest.raises(NoFigureError, match="fake has no noise inputs"):
            figure(renderer(generator))
    _, shown = mixing(renderer(generator))
    assert "noise" not in shown["caption"]


def test_noise_that_cannot_be_left_out_is_not_compared():
    def synthesis(w):
        return w[:, :3, None, None].tanh().expand(-1, -1, 16, 16) + 0.1 * torch.randn(len(w), 3, 16, 16)

    generator = wrap_generator(synthesis=synthesis, mapping=torch.tanh, z_dim=8)
    with pytest.raises(NoFigureError, match="no parameter noise_mode"):
        layers(renderer(generator))


# ------------------------------------------------------------------------------------------------------ truncation


def test_the_column_of_psi_0_is_the_image_of_w_avg():
    generator = style_generator()
    picture, shown = truncation(renderer(generator))
    assert shown["settings"]["psi"] == list(PSIS)
    drawn_noise = draw_noise(generator, slice(0, 1), seed=0, stream="figure-truncation-noise")
    average = generator.w_avg.expand(1, generator.num_ws, -1)
    middle = places(picture, drawn(generator.synthesis(average, noise=drawn_noise), 128)[0])
    assert len(middle) == 4
    assert len({left for _, left in middle}) == 1
    ws = generator.mapping(sample_z(0, slice(0, 4), 8, stream="figure-truncation"))
    for row, (top, left) in enumerate(middle):
        for psi, step in ((1.0, -4), (-0.5, 2), (-1.0, 4)):
            moved = generator.w_avg + psi * (ws[row : row + 1] - generator.w_avg)
            tile = drawn(generator.synthesis(moved, noise=drawn_noise), 128)[0]
            assert places(picture, tile) == [(top, left + step * (128 + 3))]


# ---------------------------------------------------------------------------------------------------- interpolation


def test_strips_end_at_the_images_of_the_pair():
    generator = style_generator()
    picture, shown = interpolation(renderer(generator))
    assert shown["settings"]["interpolation"] == {"z": "slerp", "w": "lerp"}
    assert shown["settings"]["epsilon"] == 1e-4  # that of path lengths
    drawn_noise = draw_noise(generator, slice(0, 2), seed=0, stream=NOISE)
    lefts = []
    for end in (0, 1):
        ws = generator.mapping(sample_z(0, slice(0, 2), 8, stream=f"{STREAM}-z{end}"))
        for tile in drawn(generator.synthesis(ws, noise=drawn_noise), 128):
            found = places(picture, tile)
            assert len(found) == 2  # in Z and in W
            lefts.append({left for _, left in found})
    assert lefts[0] == lefts[1] != lefts[2] == lefts[3]


def test_between_the_ends_z_and_w_differ():
    generator = style_generator()
    by_z, by_w = (walked(renderer(generator), space, [0.0, 0.5, 1.0]) for space in ("z", "w"))
    assert torch.allclose(by_z[:, [0, 2]], by_w[:, [0, 2]], atol=1e-5)
    assert torch.equal(by_w[:, 1], lerp(by_w[:, 0], by_w[:, 2], 0.5))
    assert not torch.allclose(by_z[:, 1], by_w[:, 1], atol=1e-2)


def test_a_linear_generator_has_constant_speed_in_w():
    generator = FakeGenerator(linear=True, noise=0.0)
    settings = FigureSettings(num_pairs=3, speed_points=9)
    one = renderer(generator, settings)
    speeds = path_speeds(one, "w", MeanSquaredDifference())
    ends = walked(one, "w", [0.0, 1.0])[:, :, -1]
    expected = ((ends[:, 1] - ends[:, 0]) @ generator.paint).square().mean(dim=1).sqrt().numpy()
    assert speeds.shape == (3, 9)
    assert np.allclose(speeds, expected[:, None], rtol=2e-3)
    in_z = path_speeds(one, "z", MeanSquaredDifference())
    spread_w, spread_z = (found.std(axis=1) / found.mean(axis=1) for found in (speeds, in_z))
    assert spread_w.max() < 1e-3 < spread_z.min()


def test_a_pair_does_not_depend_on_how_many_there_are():
    _, two = interpolation(renderer())
    _, one = interpolation(renderer(settings=FigureSettings(num_pairs=1, speed_points=3)))
    for space in "zw":
        assert np.allclose(one["speed"][space][0], two["speed"][space][0], rtol=1e-3)
        assert two["length"][space] == pytest.approx(np.trapezoid(two["speed"][space], two["t"], axis=1))


def test_without_a_mapping_there_is_no_strip_in_w():
    picture, shown = interpolation(renderer(style_generator(mapping_layers=0)))
    assert list(shown["speed"]) == ["z"]
    assert "W is Z" in shown["caption"]
    assert picture.shape[0] < interpolation(renderer())[0].shape[0]


def test_images_too_small_for_the_distance_are_refused():
    class Wide:
        name, sha256, min_size = "wide", "0" * 64, 32

        def __call__(self, a, b):
            raise AssertionError

    with pytest.raises(UsageError, match="wide needs images of at least 32 pixels, and those of fake have 16"):
        interpolation(renderer(), distance=Wide())


def test_images_that_are_not_finite_are_refused():
    generator = FakeGenerator(scale=math.inf, noise=0.0)
    with pytest.raises(DataError, match="not finite"):
        samples(renderer(generator))


# -------------------------------------------------------------------------------------------------- folder and command


def test_the_folder_says_what_it_holds(tmp_path):
    record = save_figures(tmp_path / "out", FakeGenerator(noise=0.0), NETWORK, settings=FEW)
    assert record == json.loads((tmp_path / "out" / "figures.json").read_text("utf-8"))
    assert [figure["name"] for figure in record["figures"]] == [
        "samples",
        "scales",
        "mixing",
        "truncation",
        "interpolation",
    ]
    assert [one["name"] for one in record["left_out"]] == ["noise", "layers", *OF_MATERIAL]
    assert (record["network"]["sha256"], record["seed"]) == (NETWORK.sha256, 0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "figures.json", *(figure["file"] for figure in record["figures"])}  # fmt: skip
    for figure in record["figures"]:
        with Image.open(tmp_path / "out" / figure["file"]) as image:
            assert image.size == (figure["width"], figure["height"])
            assert image.text["Description"] == figure["caption"]
            said = json.loads(image.text["latentlab"])
        assert said == {"network": NETWORK.model_dump(), "figure": figure["name"], "settings": figure["settings"]}


def test_the_same_folder_twice(tmp_path):
    for name in ("a", "b"):
        save_figures(tmp_path / name, FakeGenerator(), NETWORK, names=["noise", "interpolation"], settings=FEW)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="left as it is"):
        save_figures(tmp_path / "out", FakeGenerator(), NETWORK, names=["samples"])
    done = command(tmp_path / "out")
    assert done.exit_code == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_figure_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(latentlab.figures.folder.FIGURES, "mixing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_figures(tmp_path / "out", FakeGenerator(), NETWORK, names=["samples", "mixing"])
    assert list(tmp_path.iterdir()) == []


def test_if_nothing_can_be_drawn_that_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"no figure can be made: noise: fake has no noise inputs"):
        save_figures(tmp_path / "out", FakeGenerator(noise=0.0), NETWORK, names=["noise"])
    assert list(tmp_path.iterdir()) == []


def test_names_of_figures():
    assert figure_names(None) == list(FIGURES)
    assert figure_names("noise, samples") == ["samples", "noise"]
    with pytest.raises(UsageError, match=r"no figure 'noises'; there are samples, scales, mixing"):
        figure_names("samples,noises")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"truncation_psi": math.nan}, "truncation psi is nan"),
        ({"noise_draws": 1}, "noise_draws is 1; it must be at least 4"),
        ({"num_pairs": 0}, "num_pairs is 0"),
        ({"epsilon": 0.0}, "epsilon is 0"),
    ],
)
def test_settings_are_checked(fields, words):
    with pytest.raises(UsageError, match=words):
        FigureSettings(**fields)


def command(out: Path, *more: object):
    words = ["figures", "--network", GENERATOR, "--out", out, "--draws", 4, "--pairs", 1, *more]
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})


def test_the_command_tells_captions(tmp_path):
    done = command(tmp_path / "out", "--only", "samples,truncation")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("samples.png, ")
    assert "truncation.png" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"samples.png", "truncation.png", "figures.json"}


def test_the_command_prints_json(tmp_path):
    distance = "fake_generator:SquaredDistance"
    done = command(tmp_path / "out", "--only", "interpolation", "--distance", distance, "--json")
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["settings"]["distance"]["name"] == "mse"
    assert "perceptual speed along it by mse" in found["caption"]


def test_the_command_refuses_what_makes_no_sense(tmp_path):
    unknown = command(tmp_path / "out", "--only", "corners")
    assert unknown.exit_code == 2
    assert "no figure 'corners'" in unknown.stderr
    idle = command(tmp_path / "out", "--only", "samples", "--distance", "lpips-vgg")
    assert idle.exit_code == 2
    assert "--distance lpips-vgg is for interpolation" in idle.stderr
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- page


def test_the_page_names_every_figure_and_group():
    table = PAGE.partition("| `--only` |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell)] == list(FIGURES)
    for num_ws, row in ((10, "0–3 (4, 8) | 4–7 (16, 32) | 8"), (6, "0–1 (4) | 2–3 (8) | 4"), (3, "0 | 1 | 2")):
        coarse, middle, fine = layer_groups(num_ws).values()
        starts = [int(cell.split("–")[0].split(" ")[0]) for cell in row.split(" | ")]
        assert row in PAGE
        assert starts == [coarse.start, middle.start, fine.start]


def test_the_commands_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands, _ = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in commands.splitlines():
        line = line.replace("style-8", GENERATOR).replace("classifier:quick", "fake_generator:SquaredDistance")
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
    assert {path.name for path in tmp_path.iterdir()} == {"figures", "figures-1", "figures-speed"}


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.setattr("latentlab.load_generator", lambda _: (FakeGenerator(), NETWORK), raising=False)
    run = tmp_path / "runs" / "style-8"
    run.mkdir(parents=True)
    write_store(run / "run.h5")
    names: dict[str, object] = {}
    exec(compile(code, "docs/figures.md", "exec"), names)
    assert (tmp_path / "corner.svg").is_file()
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"mixing.png", "noise.png", "figures.json"}
    assert names["pixels"].shape[2] == 3


def test_what_the_page_says_of_the_file_is_there(tmp_path):
    write_store(tmp_path / "run.h5")
    write_stats(tmp_path)
    sources = Sources(run=tmp_path, attributes=(("Male", None), ("Smiling", None)))
    record = save_figures(tmp_path / "out", style_generator(), NETWORK, settings=FEW, sources=sources)
    assert [figure["name"] for figure in record["figures"]] == list(FIGURES)
    common = {"name", "file", "files", "width", "height", "title", "caption", "settings"}
    own = {figure["name"]: set(figure) - common for figure in record["figures"]}
    table = PAGE.partition("| figure | |")[2].partition("\n\n")[0]
    for name, rest in re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE):
        said = set(re.findall(r"`(\w+)`", rest))
        assert own.pop(name) <= said, name
    assert not any(own.values())

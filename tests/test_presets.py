"""The paper's configurations, their sizes and schedules, single fields set by name, and plans."""

import json
import math

import pytest

from latentlab.errors import UsageError
from latentlab.networks import Discriminator, Generator, count_parameters
from trainers.config import DatasetRecord, RunConfig
from trainers.plan import plan
from trainers.presets import CONFIGS, PRESETS, Choice, run_config
from trainers.recipes import listed, read_assignments, read_recipe
from trainers.schedule import Schedule, phase_at, phases


def _config(resolution=32, num_images=10_000, **choice):
    data = DatasetRecord(name="many", fingerprint="f", num_images=num_images, resolution=resolution)
    return run_config(Choice(**choice), dataset=data)


# (const_input, use_noise, use_styles, pixel_norm, blur, mixing, loss, initial resolution, mapping layers, kimg)
TABLE_1 = {
    "A": (False, False, False, True, False, 0.0, "wgan-gp", 4, 0, 12_000),
    "B": (False, False, False, True, True, 0.0, "logistic", 8, 0, 25_000),
    "C": (False, False, True, False, True, 0.0, "logistic", 8, 8, 25_000),
    "D": (True, False, True, False, True, 0.0, "logistic", 8, 8, 25_000),
    "E": (True, True, True, False, True, 0.0, "logistic", 8, 8, 25_000),
    "F": (True, True, True, False, True, 0.9, "logistic", 8, 8, 25_000),
}


@pytest.mark.parametrize("letter", CONFIGS)
def test_configurations_are_those_of_table_1(letter):
    config = _config(1024, config=letter, preset="paper")
    g, t = config.generator, config.trainer
    found = (g.const_input, g.use_noise, g.use_styles, g.pixel_norm, g.blur, t.mixing_prob, t.loss,
             t.schedule.initial_resolution, g.mapping_layers, t.total_kimg)  # fmt: skip
    assert found == TABLE_1[letter]
    assert g.instance_norm == g.use_styles
    assert config.discriminator.blur == g.blur
    assert (t.r1_gamma, t.r1_interval, t.adam_betas, t.adam_eps) == (10, 1, (0, 0.99), 1e-8)
    assert (t.w_avg_beta, t.ema_half_life_kimg, t.mirror, t.minibatch_repeats) == (0.995, 10, True, 4)
    assert max(t.schedule.learning_rate.values()) == (0.002 if letter == "A" else 0.003)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"config": "F"}, 26_219_627),
        ({"config": "F", "mapping_layers": 0}, 24_118_379),
        ({"config": "F", "mapping_layers": 1}, 24_381_035),
        ({"config": "F", "mapping_layers": 2}, 24_643_691),
        ({"config": "B"}, 23_079_115),
        ({"config": "B", "mapping_layers": 8}, 25_180_363),
        ({"config": "C"}, 30_400_651),
        ({"config": "D"}, 26_214_539),
    ],
)
def test_parameters_are_as_many_as_officially(choice, expected):
    import torch

    config = _config(1024, preset="paper", **choice)
    with torch.device("meta"):
        assert count_parameters(Generator(config.generator)) == expected
        assert count_parameters(Discriminator(config.discriminator)) == 23_087_249


OFFICIAL = {
    1: [128, 128, 64, 32, 16, 8, 4, 4],
    2: [256, 128, 64, 32, 16, 8, 8, 8],
    4: [256, 128, 64, 32, 16, 16, 16, 16],
    8: [256, 128, 64, 32, 32, 32, 32, 32],
}


@pytest.mark.parametrize("gpus", OFFICIAL)
def test_official_schedules(gpus):
    config = _config(1024, preset="paper", gpus=gpus)
    stable = [step for step in phases(config.trainer.schedule, 1024, 25_000) if not step.fading]
    assert [step.minibatch for step in stable] == OFFICIAL[gpus]
    assert [step.resolution for step in stable] == [8, 16, 32, 64, 128, 256, 512, 1024]
    assert [step.learning_rate for step in stable] == [0.001] * 4 + [0.0015, 0.002, 0.003, 0.003]
    assert [step.start_kimg for step in stable] == [1200 * number for number in range(8)]
    assert stable[-1].end_kimg == 25_000


def test_plans_agree_with_the_schedule():
    schedule = Schedule(stable_kimg=3, fade_kimg=2, initial_resolution=4, minibatch={16: 8}, learning_rate={8: 0.5})
    for step in phases(schedule, 32, 40):
        middle = phase_at(schedule, 32, round((step.start_kimg + step.end_kimg) * 500))
        assert (middle.resolution, middle.minibatch, middle.learning_rate) == (
            step.resolution,
            step.minibatch,
            step.learning_rate,
        )
        assert (middle.lod != int(middle.lod)) == step.fading
    assert phases(schedule, 32, 40)[-1].end_kimg == 40
    assert phases(Schedule(stable_kimg=0, fade_kimg=0), 32, 5)[0].resolution == 32


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("letter", ["A", "F"])
def test_every_preset_fits_every_small_resolution(preset, resolution, letter):
    config = _config(resolution, preset=preset, config=letter)
    stages = config.generator.num_stages
    assert config.generator.fmaps(stages) >= 16
    plan_of = phases(config.trainer.schedule, resolution, config.trainer.total_kimg)
    assert plan_of[-1].resolution == resolution
    assert not plan_of[-1].fading
    ends = [phase.end_kimg for phase in plan_of]
    assert len(ends) == 1 or (ends[-1] - plan_of[-1].start_kimg) > ends[0]  # the full resolution is trained longest


def test_quick_is_as_documented():
    config = _config(32)
    assert config.trainer.total_kimg == 36
    assert [config.generator.fmaps(stage) for stage in range(1, 5)] == [32, 32, 32, 16]
    assert _config(128).trainer.total_kimg == 56


def test_shorter_training_keeps_the_shape_of_the_schedule():
    full, half = (_config(32, kimg=kimg).trainer for kimg in (None, PRESETS["quick"].trainer.total_kimg / 2))
    for fraction in (0.1, 0.35, 0.6, 0.9):
        lods = [phase_at(t.schedule, 32, round(t.total_kimg * 1000 * fraction)).lod for t in (full, half)]
        assert lods[0] == pytest.approx(lods[1], abs=1e-3)


def test_a_short_trial_is_not_all_snapshots():
    trainer = _config(32, preset="paper", kimg=1).trainer
    assert (trainer.tick_kimg, trainer.snapshot_kimg) == (4 * 0.512, 16 * 0.512)
    assert _config(32, preset="paper", kimg=50_000).trainer.snapshot_kimg == 200


def test_wgan_gp_caps_learning_rates():
    trainer = _config(32, preset="quick", loss="wgan-gp").trainer
    assert (trainer.loss, trainer.schedule.learning_rate_base) == ("wgan-gp", 0.002)
    assert _config(32, config="A", loss="logistic").trainer.schedule.learning_rate_base == 0.004


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"mapping_layers": -1}, "--mapping-depth -1"),
        ({"resolution": 48}, "--resolution 48"),
        ({"num_images": 10}, "10 images, fewer than the largest minibatch of 32"),
        ({"kimg": 0}, "--kimg 0"),
        ({"kimg": math.nan}, "--kimg nan"),
        ({"preset": "tiny"}, "expected one of quick, small, paper"),
        ({"gpus": 4}, "needs --preset paper"),
        ({"gpus": 3, "preset": "paper"}, "official schedules for 1, 2, 4 and 8"),
        ({"shards": 5}, "does not divide into 5 shards"),
        ({"shards": 0}, "shards = 0"),
        ({"mixing_prob": 1.5}, r"--mixing 1.5: must be a probability from 0 to 1"),
        ({"precision": "int8"}, "precision = 'int8'"),
        ({"fields": (("trainer.schedule.minibatch_base", 6),)}, "6 images at 8 pixels.*groups of 4"),
        ({"fields": (("trainer.total_kimg", 12.0),)}, "ends before the networks have grown to 32 pixels.* 20 kimg"),
        ({"fields": (("trainer.schedule.initial_resolution", 12),)}, "must be a power of two"),
        ({"fields": (("trainer.schedule.minibatch.9", 8),)}, "9 is no resolution"),
        ({"fields": (("generator.resolution", 64), ("discriminator.resolution", 64))}, "is not that of the data"),
        ({"fields": (("discriminator.resolution", 64),)}, "must agree"),
        ({"fields": (("generator.num_channels", 1),)}, "must be 3"),
        ({"fields": (("discriminator.num_outputs", 3),)}, "must be 1"),
        ({"config": "B", "mixing_prob": 0.5}, "configuration B has no styles to mix"),
        ({"fields": (("trainer.r1_gama", 1),)}, r"no field 'trainer.r1_gama': did you mean trainer.r1_gamma\?"),
        ({"fields": (("r1_gamma", 1),)}, r"no field 'r1_gamma': did you mean trainer.r1_gamma\?"),
        ({"fields": (("trainer.schedule", 1),)}, "trainer.schedule is a table: set its fields by name"),
        ({"fields": (("trainer", 1),)}, "trainer is a table"),
        ({"fields": (("trainer.schedule.minibatch", 5),)}, r"is a table: .* trainer.schedule.minibatch.8"),
        ({"fields": (("trainer.schedule.minibatch.x", 5),)}, r"'x' is no resolution.* trainer.schedule.minibatch.8"),
        ({"fields": (("trainer.adam_betas", (0.0, 1.0)),)}, r"adam_betas.1 = 1.0: .*less than 1"),
        ({"fields": (("trainer.adam_betas", (-1.0, 0.5)),)}, r"adam_betas.0 = -1.0: .*greater than or equal to 0"),
        (
            {"fields": (("generator.fmap_base", 1),)},
            r"^generator: fmap_base 1 leaves no feature map at 32 pixels: .* at least 16",
        ),
        ({"mixing_prob": math.nan}, "--mixing nan: must be a probability from 0 to 1"),
        ({"fields": (("seed", 1),)}, "no field 'seed'"),
        ({"fields": (("trainer.r1_gamma.x", 1),)}, "no field"),
        ({"fields": (("trainer.r1_gamma", "much"),)}, "trainer.r1_gamma = 'much': expected a number such as 1.0"),
        ({"fields": (("trainer.r1_gamma", True),)}, "expected a number"),
        ({"fields": (("trainer.mirror", 1),)}, "trainer.mirror = 1: expected true or false"),
        ({"fields": (("trainer.r1_interval", 1.5),)}, "trainer.r1_interval = 1.5"),
        ({"fields": (("trainer.loss", "hinge"),)}, "trainer.loss = 'hinge'.*logistic"),
        ({"fields": (("trainer.r1_gamma", -1),)}, "greater than or equal to 0"),
        ({"fields": (("trainer.r1_gamma", math.nan),)}, "finite"),
    ],
)
def test_impossible_settings_are_refused(choice, words):
    with pytest.raises(UsageError, match=words):
        _config(**choice)


def test_fields_are_set_by_name(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        "[trainer]\nr1_gamma = 2\nmirror = false\n[trainer.schedule.minibatch]\n8 = 64\n[generator]\nfmap_max = 16\n"
    )
    fields = read_recipe(recipe) + read_assignments(
        ["trainer.r1_gamma=3", "trainer.loss=wgan-gp", "trainer.adam_betas=[0.5, 0.9]"]
    )
    config = _config(fields=fields)
    trainer = config.trainer
    assert (trainer.r1_gamma, trainer.mirror, trainer.loss, trainer.adam_betas) == (3, False, "wgan-gp", (0.5, 0.9))
    assert trainer.schedule.minibatch == {8: 64}
    assert config.generator.fmap_max == 16
    shown = dict(listed(config))
    assert shown["trainer.r1_gamma"] == "3.0"
    again = _config(fields=read_assignments(f"{name}={value}" for name, value in shown.items()))
    assert again.model_copy(update={"created_at": config.created_at}) == config  # what is listed can be set


@pytest.mark.parametrize("text", ["r1_gamma", "=3", "trainer.r1_gamma="])
def test_assignments_need_a_name_and_a_value(text):
    with pytest.raises(UsageError, match="expected NAME=VALUE"):
        read_assignments([text])


def test_recipes_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"No such file"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[trainer\n")
    with pytest.raises(UsageError, match="not a TOML file"):
        read_recipe(tmp_path / "bad.toml")


def test_plans_count_parameters_and_memory():
    config = _config(32, config="F")
    needs = plan(config)
    assert [(n.phase.resolution, n.phase.fading) for n in needs] == [
        (8, False),
        (16, True),
        (16, False),
        (32, True),
        (32, False),
    ]
    last = needs[-1]
    unused = config.generator.num_channels * (32 + 32 + 32 + 3)  # ToRGB below the full resolution
    assert last.parameters_g == count_parameters(Generator(config.generator)) - unused
    assert [n.memory for n in needs if not n.phase.fading] == sorted(n.memory for n in needs if not n.phase.fading)
    # One image: at least the activations of both networks at 32x32, kept once.
    assert 8 * 16 * 32 * 32 * 4 < last.memory_per_image < 8 * 2**20
    halved = plan(config.model_copy(update={"trainer": config.trainer.model_copy(update={"shards": 2})}))
    assert halved[-1].memory == pytest.approx(last.memory - 16 * last.memory_per_image)


def test_the_command_prints_a_plan(capsys):
    from typer.testing import CliRunner

    from latentlab.cli import app

    arguments = ["train", "--dry-run", "--config", "A", "--resolution", "16", "--set", "trainer.gp_lambda=5"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "16 fading in" in result.output
    assert "trainer.gp_lambda = 5.0" in result.output
    result = CliRunner().invoke(app, [*arguments, "--json"])
    printed = json.loads(result.output)
    assert printed["config"]["trainer"]["loss"] == "wgan-gp"
    assert [phase["phase"]["resolution"] for phase in printed["phases"]] == [4, 8, 8, 16, 16]

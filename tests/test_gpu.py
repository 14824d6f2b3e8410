"""What only a CUDA device can show; skipped without one."""

import pytest
import torch

from latentlab.checkpoint import load_generator
from trainers.loop import train
from trainers.trainer import Trainer

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
def test_training_runs_in_every_precision(tmp_path, tiny_run, squares, precision):
    state = train(tiny_run(precision=precision), squares, tmp_path / "run", device=torch.device("cuda"))
    assert state.num_images == 200
    assert all(parameter.isfinite().all() for parameter in state.generator.parameters())
    generator, _ = load_generator(tmp_path / "run")
    assert generator(torch.randn(2, generator.z_dim)).isfinite().all()


def test_resuming_goes_on_from_the_snapshot(tmp_path, tiny_run, squares):
    device = torch.device("cuda")
    train(tiny_run(total_kimg=0.16), squares, tmp_path / "run", device=device)
    state = train(tiny_run(), squares, tmp_path / "run", resume=True, force=True, device=device)
    assert state.num_images == 200


def test_scores_are_those_of_the_cpu(tiny_run, squares):
    """The same weights and images."""
    config = tiny_run(mirror=False, mixing_prob=0.0)
    scores = []
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        trainer = Trainer(config, squares, device)
        images = trainer.reals.batch(0, 8, 1.0)
        trainer.state.set_lod(1.0)
        scores.append(trainer.state.discriminator(images).detach().cpu())
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-3, atol=1e-4)

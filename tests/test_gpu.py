"""What only a CUDA device can show; skipped without one."""

import pytest
import torch

from attribute_classifiers.network import AttributeClassifiers, load_classifiers
from attribute_classifiers.presets import preset
from attribute_classifiers.training import train_classifiers
from latentlab.checkpoint import load_generator
from latentlab.data import open_dataset
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.results import NetworkName
from latentlab.sampling import sample
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


def test_samples_are_the_same_file_for_any_batch_size(tmp_path):
    device = torch.device("cuda")
    config = GeneratorConfig(resolution=32, fmap_base=256, fmap_max=32, z_dim=64, w_dim=64, mapping_fmaps=64)
    generator = initialised(lambda: Generator(config), 0).eval().requires_grad_(False).to(device)
    classifiers = AttributeClassifiers(preset("quick")).eval().requires_grad_(False).to(device)
    options = {"network": NetworkName(name="g", sha256="0"), "labeller": classifiers, "num_samples": 700}
    paths = [
        sample(generator, tmp_path / f"{size}.h5", **options, batch_size=size, with_images=True, device=device)
        for size in (16, 1000)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_stack_of_classifiers_learns_what_single_ones_do(tmp_path):
    device = torch.device("cuda")
    faces = open_dataset("faces", resolution=16, num_images=200)
    config = preset("quick", resolution=16, trunk="separate", attributes=("Smiling", "Male", "Young"), images_shown=320)
    found = [
        load_classifiers(train_classifiers(faces, config, tmp_path / str(stack), device=device, stack=stack))
        for stack in (1, 3)
    ]
    for name, value in found[0].state_dict().items():
        torch.testing.assert_close(value, found[1].state_dict()[name], rtol=2e-2, atol=2e-3, msg=name)


def test_hyperplanes_are_those_of_the_cpu():
    import numpy as np

    from latentlab.svm import fit_linear_svms

    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 48)).astype(np.float32)
    labels = x @ rng.normal(size=(48, 5)) + rng.normal(size=(40_000, 5)) > np.linspace(-4, 4, 5)
    keep = [rng.permutation(40_000)[:30_000] for _ in range(5)]
    there, here = (fit_linear_svms(x, labels, keep, device=device) for device in ("cuda", "cpu"))
    assert there.converged.all()
    assert np.linalg.norm(there.coef - here.coef) < 1e-4 * np.linalg.norm(here.coef)

import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller

from attribute_classifiers.network import AttributeClassifiers, initialise
from attribute_classifiers.presets import ClassifierConfig, TrainingConfig
from latentlab import features as features_module
from latentlab.errors import UsageError, WeightsError
from latentlab.features import ClassifierFeatures, InceptionFeatures, box_filter, inception_features
from latentlab.files import file_sha256
from latentlab.images import to_float
from latentlab.metrics.at_snapshot import NAMES, Means, snapshot_metrics
from latentlab.metrics.frechet import frechet_distance
from latentlab.metrics.path_length import PathSettings, perceptual_path_length
from latentlab.metrics.separability import separability_results
from latentlab.metrics.sliced_wasserstein import snapshot_metric
from latentlab.networks import DiscriminatorConfig, Generator, GeneratorConfig
from latentlab.perceptual import classifier_distance
from latentlab.randomness import derive_seed
from latentlab.sampling import sample
from latentlab.store import LatentStore
from latentlab.weights import weights_named

INCEPTION_FILE = weights_named("inception").file
CLASSIFIED = tuple(name for name in NAMES if name != "fid")


@pytest.fixture(scope="module")
def classifiers():
    config = ClassifierConfig(
        trunk="shared",
        attributes=("Red", "Bright"),
        network=DiscriminatorConfig(resolution=8, fmap_base=16, fmap_max=8),
        training=TrainingConfig(num_images=16, batch_size=8, learning_rate=0.01),
    )
    model = initialise(AttributeClassifiers(config, name="tiny", sha256="c" * 64), seed=3)
    return model.eval().requires_grad_(False)


@pytest.fixture
def generator():
    config = GeneratorConfig(resolution=16, z_dim=8, w_dim=8, mapping_layers=2, mapping_fmaps=8, fmap_base=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Generator(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    return model


def measured(names, dataset, generator, means, *, seed=0, images=1000, **options):
    return snapshot_metrics(names, dataset, seed=seed, means=means, **options)(generator, images)


# ------------------------------------------------------------------------------------- the same as the library


def test_every_metric_has_its_key_in_the_order_asked_for(squares, generator, classifiers):
    names = CLASSIFIED[::-1]
    callback = snapshot_metrics(names, squares, seed=0, means=Means(classifiers, num_samples=60))
    found = callback(generator, 1000)
    assert tuple(found) == callback.keys == names
    assert all(type(value) is float and np.isfinite(value) for value in found.values())


def test_path_lengths_are_those_of_the_command(squares, generator, classifiers):
    names = ("ppl_zfull", "ppl_zend", "ppl_wfull", "ppl_wend")
    found = measured(names, squares, generator, Means(classifiers, num_samples=20), seed=5)
    for name in names:
        settings = PathSettings(name[4], name[5:], seed=5)
        distance = classifier_distance(classifiers)
        result = perceptual_path_length(generator, distance, settings, network=NETWORK, num_samples=20, bootstrap=2)
        assert found[name] == pytest.approx(result.value, rel=1e-3)  # batches of another size


def test_separability_is_that_of_the_commands(squares, tmp_path):
    generator, labeller = FakeGenerator(noise=1.0), FakeLabeller()
    found = measured(("ls_w", "ls_z"), squares, generator, Means(labeller, num_samples=200), seed=5)
    path = sample(generator, tmp_path / "run.h5", network=NETWORK, labeller=labeller, num_samples=200, seed=5)
    with LatentStore.open(path) as store:
        results = separability_results(store, seed=5, bootstrap=2)
    assert found == {result.metric: pytest.approx(result.value, rel=1e-9) for result in results}
    assert list(found) == ["ls_w", "ls_z"]
    assert found["ls_w"] != pytest.approx(found["ls_z"])


def test_swd_is_what_it_was(squares, generator):
    assert measured(("swd",), squares, generator, None, seed=2) == snapshot_metric(squares, seed=2)(generator, 0)


# ------------------------------------------------------------------------------------ reproducible, without traces


def test_numbers_are_functions_of_seed_and_generator(squares, generator, classifiers):
    means = Means(classifiers, num_samples=60)
    callback = snapshot_metrics(CLASSIFIED, squares, seed=0, means=means)
    first = callback(generator, 1000)
    assert callback(generator, 2000) == first
    torch.manual_seed(99)
    assert measured(CLASSIFIED, squares, generator, means) == first  # as after a resume
    other = measured(CLASSIFIED, squares, generator, means, seed=1)
    assert all(other[name] != first[name] for name in ("swd", "fd_classifiers", "ppl_wend"))
    batches = measured(CLASSIFIED, squares, generator, Means(classifiers, num_samples=60, batch_size=7))
    assert batches == {name: pytest.approx(value, rel=1e-3) for name, value in first.items()}


def test_the_generator_and_the_global_state_stay_as_they_are(squares, generator, classifiers):
    generator.train()
    generator.synthesis.lod = 0.5
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    random, precision = torch.random.get_rng_state(), torch.get_float32_matmul_precision()
    measured(CLASSIFIED, squares, generator, Means(classifiers, num_samples=60))
    assert generator.training
    assert generator.synthesis.lod == 0.5
    assert all(parameter.requires_grad and parameter.grad is None for parameter in generator.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in generator.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert torch.get_float32_matmul_precision() == precision
    generator(torch.zeros(1, 8)).sum().backward()  # no inference tensor was left behind


def test_a_growing_generator_is_measured_as_it_is(squares, generator, classifiers):
    callback = snapshot_metrics(("swd", "fd_classifiers"), squares, seed=0, means=Means(classifiers, num_samples=24))
    grown = callback(generator, 1000)
    generator.synthesis.lod = 1.0
    assert callback(generator, 1000) != grown


# --------------------------------------------------------------------------------- Fréchet distance of classifiers


class Echo(FakeGenerator):
    """Returns images of a data set, one after the other."""

    def __init__(self, images):
        super().__init__(noise=0.0)
        self.noise_shapes, self.synthesis, self.left = [], self, list(to_float(images))

    def __call__(self, ws, noise_mode="random"):
        return torch.stack([self.left.pop(0) for _ in ws])


def test_real_images_are_perfect_and_others_are_not(squares, classifiers):
    callback = snapshot_metrics(("fd_classifiers",), squares, seed=0, means=Means(classifiers, num_samples=40))
    everything = squares.images(np.arange(40))
    perfect = callback(Echo(everything), 0)["fd_classifiers"]
    darker = callback(Echo(everything // 2), 0)["fd_classifiers"]
    black = callback(Echo(everything * 0), 0)["fd_classifiers"]
    assert perfect < 1e-6 * darker
    assert darker < black


def test_classifier_features_are_the_last_maps_averaged(squares, classifiers):
    images = squares.images(np.arange(6))
    found = ClassifierFeatures(classifiers)(images)
    reduced = torch.nn.functional.avg_pool2d(to_float(images), 2)
    expected = classifiers.features(reduced)[-1].mean(dim=(2, 3)).numpy()
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32
    np.testing.assert_allclose(ClassifierFeatures(classifiers)(images[3:4]), found[3:4], rtol=1e-5, atol=1e-6)


def test_half_of_the_real_images_are_chosen_by_the_seed(squares, classifiers):
    fakes = squares.images(np.arange(40))[:20]
    first, second, again = (
        measured(("fd_classifiers",), squares, Echo(fakes), Means(classifiers, num_samples=20), seed=seed)
        for seed in (0, 1, 0)
    )
    assert first == again != second


def test_networks_of_one_attribute_each_have_too_many_features(squares, classifiers, monkeypatch):
    monkeypatch.setattr(features_module, "MAX_DIMENSIONS", 7)
    with pytest.raises(UsageError, match=r"tiny have 8 features.* at most 7.*--trunk shared"):
        snapshot_metrics(("fd_classifiers",), squares, seed=0, means=Means(classifiers))


def test_images_are_only_made_smaller():
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(box_filter(images, 4), torch.nn.functional.avg_pool2d(images, 4))
    assert torch.equal(box_filter(images, 16), images)
    assert box_filter(images, 12).shape == (2, 3, 12, 12)
    with pytest.raises(UsageError, match=r"16 pixels wide, and the classifiers take 32.*Train .* 16 pixels or fewer"):
        box_filter(images, 32)


# ------------------------------------------------------------------------------------- what a snapshot cannot give


def test_what_cannot_be_measured_is_left_out_and_said(squares, classifiers):
    said = []
    means = Means(classifiers, num_samples=20)
    callback = snapshot_metrics(("ls_z", "fd_classifiers"), squares, seed=0, means=means, say=said.append)
    assert list(callback(FakeGenerator(noise=0.0, scale=0.0), 6000)) == ["fd_classifiers"]
    assert len(said) == 1
    assert said[0].startswith("a metric was left out at 6 kimg: no attribute is valid")
    broken = FakeGenerator(noise=0.0, scale=float("nan"))
    assert callback(broken, 6000) == {}
    assert "not finite" in said[-1]


# ------------------------------------------------------------------------------------------- refused at the start


@pytest.mark.parametrize(
    ("names", "given", "words"),
    [
        (("fidd", "swd"), {}, r"there is no fidd; known are swd, fid,"),
        (("swd", "swd"), {}, "only once"),
        (("ls_w",), {}, "ls_w: needs attribute classifiers.*--classifiers"),
        (("fd_classifiers",), {}, "fd_classifiers: needs attribute classifiers.*--classifiers"),
        (("ppl_wend",), {}, "ppl_wend: needs a perceptual distance.*--lpips-weights.*--classifiers"),
        (("swd",), {"num_samples": 1}, "--metric-samples 1: must be at least 2"),
        (("ls_z",), {"num_samples": 3}, "--metric-samples 3: ls_z needs at least 4"),
        (("swd",), {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_is_missing_is_named_before_training_starts(squares, names, given, words):
    with pytest.raises(UsageError, match=words):
        snapshot_metrics(names, squares, seed=0, means=Means(**given))


@pytest.mark.parametrize("name", ["ppl_wend", "ppl_wfull", "ls_w"])
def test_w_without_a_mapping_is_refused(squares, classifiers, name):
    with pytest.raises(UsageError, match=f"{name}: this generator has no mapping.* take {name.replace('w', 'z', 1)}"):
        snapshot_metrics((name,), squares, seed=0, means=Means(classifiers), has_mapping=False)
    z = snapshot_metrics(("ppl_zend",), squares, seed=0, means=Means(classifiers), has_mapping=False)
    assert z.keys == ("ppl_zend",)


def test_images_that_are_too_small_are_named(squares, classifiers, monkeypatch):
    monkeypatch.setattr(type(squares), "resolution", 4)
    with pytest.raises(UsageError, match=r"images of 4 pixels are 0 wide after the face crop.*classifier:tiny needs"):
        snapshot_metrics(("ppl_zend",), squares, seed=0, means=Means(classifiers))
    with pytest.raises(UsageError, match="4 pixels wide, and the classifiers take 8"):
        snapshot_metrics(("ls_z",), squares, seed=0, means=Means(classifiers))


# ------------------------------------------------------------------------------------------------------ Inception


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of the right form with weights drawn at random."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        state = FeatureExtractorInceptionV3("random", ["2048"]).state_dict()
    path = tmp_path_factory.mktemp("inception") / INCEPTION_FILE
    torch.save(state, path)
    return path


def test_other_weights_of_the_right_form_are_never_called_fid(squares, weights):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    random = torch.random.get_rng_state()
    inception = inception_features(weights)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert (inception.name, inception.distance_name) == ("custom-inception", "fd_custom-inception")
    assert inception.sha256 == file_sha256(weights)
    images = squares.images(np.arange(2))
    found = inception(images)
    own = FeatureExtractorInceptionV3("own", ["2048"], str(weights))
    np.testing.assert_array_equal(found, own(torch.tensor(images).permute(0, 3, 1, 2))[0].numpy())
    assert found.shape == (2, 2048)
    assert np.ptp(found, axis=0).any()
    grey = images[..., :1]
    np.testing.assert_array_equal(inception(grey), inception(np.repeat(grey, 3, axis=3)))


def test_the_keys_carry_the_number_and_few_images_are_said(squares, weights, monkeypatch):
    means = Means(inception_weights=weights.parent, num_samples=3)
    custom = snapshot_metrics(("fid", "swd"), squares, seed=0, means=means)
    assert custom.keys == ("fd_custom-inception3", "swd")
    assert [words.split(":")[0] for words in custom.warnings] == ["fd_custom-inception", "fd_custom-inception3"]
    monkeypatch.setattr(features_module, "INCEPTION_SHA256", file_sha256(weights))
    genuine = snapshot_metrics(("fid",), squares, seed=0, means=means)
    assert genuine.keys == ("fid3",)
    assert [words.split(":")[0] for words in genuine.warnings] == ["fid3"]


def test_fid_compares_generated_with_real_images_as_bytes(squares, weights, monkeypatch):
    whole = InceptionFeatures.__call__
    monkeypatch.setattr(InceptionFeatures, "__call__", lambda *given: whole(*given)[:, :50])  # quick matrices
    means = Means(inception_weights=weights, num_samples=3)
    fakes = squares.images(np.arange(3))
    reals = squares.images(np.random.default_rng(derive_seed(0, "fid-reals")).permutation(40)[:3])
    found = measured(("fid",), squares, Echo(fakes), means)
    inception = inception_features(weights)
    expected = frechet_distance(inception(fakes), inception(reals))
    assert found == {"fd_custom-inception3": pytest.approx(expected, rel=1e-3)}


def test_inception_weights_of_another_form_are_named(tmp_path):
    path = tmp_path / "other.pth"
    for content, words in (
        ({"fc.weight": torch.zeros(2, 2)}, "does not hold the weights of FID's Inception"),
        ([torch.zeros(1)], "no state dict of tensors"),
        ({"fc.weight": Path("x")}, "no PyTorch state dict"),  # would run code
    ):
        torch.save(content, path)
        with pytest.raises(WeightsError, match=words):
            inception_features(path)
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="no PyTorch state dict"):
        inception_features(path)
    with pytest.raises(WeightsError, match=f"there is no file .*should be {INCEPTION_FILE}"):
        inception_features(tmp_path / "absent.pth")


def test_weights_that_cannot_be_had_name_the_option(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*_args, **_options):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(WeightsError, match=rf"{INCEPTION_FILE}.*no network.*--inception-weights"):
        snapshot_metrics(("fid",), squares, seed=0)


def test_the_missing_extra_is_named(squares, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(WeightsError, match=r"install `latentlab\[fid\]`"):
        snapshot_metrics(("fid",), squares, seed=0)

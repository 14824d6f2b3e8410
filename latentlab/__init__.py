"""How entangled is a generator's latent space, and how much does a mapping Z -> W straighten it?

The public names below load their modules on first use, so importing this package loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentlab.checkpoint import load_generator
    from latentlab.directions.editing import Editor, edits_along, render_edits
    from latentlab.directions.fitting import attribute_directions
    from latentlab.directions.form import load_directions, save_directions
    from latentlab.directions.rescoring import rescore_edits
    from latentlab.interop.distances import wrap_distance
    from latentlab.interop.generator_checks import check_generator
    from latentlab.interop.generators import wrap_generator
    from latentlab.interop.labellers import load_labeller, wrap_labeller
    from latentlab.interop.official_networks import load_network_file
    from latentlab.metrics.disentanglement import disentanglement_scores
    from latentlab.metrics.path_length import PathSettings, perceptual_path_length
    from latentlab.metrics.separability import linear_separability
    from latentlab.perceptual import FeatureDistance, lpips_distance
    from latentlab.results import MetricResult
    from latentlab.sampling import sample
    from latentlab.store import LatentStore

_HOMES = {
    "Editor": "latentlab.directions.editing",
    "FeatureDistance": "latentlab.perceptual",
    "LatentStore": "latentlab.store",
    "MetricResult": "latentlab.results",
    "PathSettings": "latentlab.metrics.path_length",
    "attribute_directions": "latentlab.directions.fitting",
    "check_generator": "latentlab.interop.generator_checks",
    "edits_along": "latentlab.directions.editing",
    "disentanglement_scores": "latentlab.metrics.disentanglement",
    "linear_separability": "latentlab.metrics.separability",
    "load_directions": "latentlab.directions.form",
    "load_generator": "latentlab.checkpoint",
    "load_labeller": "latentlab.interop.labellers",
    "load_network_file": "latentlab.interop.official_networks",
    "lpips_distance": "latentlab.perceptual",
    "perceptual_path_length": "latentlab.metrics.path_length",
    "render_edits": "latentlab.directions.editing",
    "rescore_edits": "latentlab.directions.rescoring",
    "sample": "latentlab.sampling",
    "save_directions": "latentlab.directions.form",
    "wrap_distance": "latentlab.interop.distances",
    "wrap_generator": "latentlab.interop.generators",
    "wrap_labeller": "latentlab.interop.labellers",
}

__all__ = [
    "Editor",
    "FeatureDistance",
    "LatentStore",
    "MetricResult",
    "PathSettings",
    "attribute_directions",
    "check_generator",
    "disentanglement_scores",
    "edits_along",
    "linear_separability",
    "load_directions",
    "load_generator",
    "load_labeller",
    "load_network_file",
    "lpips_distance",
    "perceptual_path_length",
    "render_edits",
    "rescore_edits",
    "sample",
    "save_directions",
    "wrap_distance",
    "wrap_generator",
    "wrap_labeller",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("latentlab")
    raise AttributeError(f"module 'latentlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

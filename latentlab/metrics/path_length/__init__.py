"""Perceptual path length (paper, section 4.1): how far images move, perceptually, when latents move a little.

    l = E[ d(g(p(t)), g(p(t + eps))) / eps^2 ]

with p a walk between two random latents, by slerp in Z and by lerp between f(z1) and f(z2) in W. Lower is better.
`protocols` says which rules there are, `paths` where to look, `views` what of an image is seen, `pairs` and `tangent`
measure distances, `trimming` makes a number of them, `measuring` results.
"""

from latentlab.metrics.path_length.measuring import perceptual_path_length, perceptual_path_lengths
from latentlab.metrics.path_length.pairs import Pairs, path_lengths
from latentlab.metrics.path_length.paths import Draws, draws_of
from latentlab.metrics.path_length.protocols import EPSILON, PROTOCOLS, PathSettings, Sampling, Space
from latentlab.metrics.path_length.trimming import trim_bounds, trimmed_mean, trimmed_mean_replicates
from latentlab.metrics.path_length.views import face_crop, shrink, view, view_size

__all__ = [
    "EPSILON",
    "PROTOCOLS",
    "Draws",
    "Pairs",
    "PathSettings",
    "Sampling",
    "Space",
    "draws_of",
    "face_crop",
    "path_lengths",
    "perceptual_path_length",
    "perceptual_path_lengths",
    "shrink",
    "trim_bounds",
    "trimmed_mean",
    "trimmed_mean_replicates",
    "view",
    "view_size",
]

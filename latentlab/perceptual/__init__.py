"""Distances between images, and how fast the distance's features move along a path.

`distances` has the protocol and LPIPS's formula on the features of any network, `lpips_networks` LPIPS with its
weights, `pushing` the forward derivative of networks. Distances of one's own: `latentlab.interop.distances`.
"""

from latentlab.perceptual.distances import (
    Distance,
    Featured,
    FeatureDistance,
    classifier_distance,
)
from latentlab.perceptual.lpips_networks import MIN_SIZES, LpipsDistance, LpipsNet, lpips_distance
from latentlab.perceptual.pushing import Precision

__all__ = [
    "MIN_SIZES",
    "Distance",
    "FeatureDistance",
    "Featured",
    "LpipsDistance",
    "LpipsNet",
    "Precision",
    "classifier_distance",
    "lpips_distance",
]

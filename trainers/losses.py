"""Losses of the paper's configurations B-F: non-saturating logistic, with R1 on real images.

Every function gives one number per image; means are taken by whoever trains.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(scores_fake: Tensor) -> Tensor:
    """Non-saturating loss log(1 + exp(-D(G(z)))) (Goodfellow et al. 2014, section 3). [N, 1] -> [N]."""
    return F.softplus(-scores_fake).squeeze(1)


def discriminator_loss(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """Logistic loss log(1 + exp(D(fake))) + log(1 + exp(-D(real))). [N, 1] each -> [N]."""
    return (F.softplus(scores_fake) + F.softplus(-scores_real)).squeeze(1)


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Squared length of the score's gradient at each image, differentiable again. scores [N, 1] -> [N].

    R1 (Mescheder et al. 2018, equation 9) adds gamma / 2 times this at real images.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))

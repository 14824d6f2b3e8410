"""The losses that the paper trains with: non-saturating logistic with R1, and WGAN-GP.

Every function gives one number per image, [N]; means are taken by whoever trains. Penalties take gradients with
respect to images at the size that the discriminator was given.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentlab.latents import lerp
from trainers.config import TrainerConfig


def generator_loss(scores_fake: Tensor) -> Tensor:
    """Non-saturating loss log(1 + exp(-D(G(z)))) (Goodfellow et al. 2014, section 3). [N, 1] -> [N]."""
    return F.softplus(-scores_fake).squeeze(1)


def discriminator_loss(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """Logistic loss log(1 + exp(D(fake))) + log(1 + exp(-D(real))). [N, 1] each -> [N]."""
    return (F.softplus(scores_fake) + F.softplus(-scores_real)).squeeze(1)


def wasserstein_generator_loss(scores_fake: Tensor) -> Tensor:
    """-D(G(z)) (Arjovsky et al. 2017). [N, 1] -> [N]."""
    return -scores_fake.squeeze(1)


def wasserstein_loss(scores_real: Tensor, scores_fake: Tensor, drift: float) -> Tensor:
    """D(fake) - D(real) + drift D(real)^2 (ProGAN, appendix A.1). [N, 1] each -> [N]."""
    return (scores_fake - scores_real + drift * scores_real.square()).squeeze(1)


def gradient_penalty(scores: Tensor, images: Tensor, *, scale: float = 1.0) -> Tensor:
    """Squared length of the score's gradient at each image, differentiable again. scores [N, 1] -> [N].

    R1 (Mescheder et al. 2018, equation 9) adds gamma / 2 times this at real images, R2 at generated ones. `scale`
    multiplies the scores on the way back, so that gradients of half precision do not vanish, and is divided out.
    """
    (gradient,) = torch.autograd.grad(scores.sum() * scale, images, create_graph=True)
    return (gradient.float() / scale).square().sum(dim=(1, 2, 3))


def norm_penalty(squared_norms: Tensor, target: float) -> Tensor:
    """(|gradient| - target)^2 / target^2 (Gulrajani et al. 2017, equation 3). [N] -> [N]."""
    return (squared_norms.sqrt() - target).square() / target**2


@dataclass(frozen=True)
class Batch:
    """What a discriminator's step is made of.

    Attributes:
        reals, fakes: Images [N, C, R, R] of one size.
        mixing: Uniform numbers [N, 1, 1, 1] that place WGAN-GP's images between reals and fakes.
        level: How often images were halved to get to R; every penalty is that of the full-size images, on which
            4^level equal pixels share one pixel's gradient.
    """

    reals: Tensor
    fakes: Tensor
    mixing: Tensor
    level: int = 0


def generator_objective(settings: TrainerConfig, scores_fake: Tensor) -> Tensor:
    """The generator's loss by the settings. [N, 1] -> [N]."""
    return generator_loss(scores_fake) if settings.loss == "logistic" else wasserstein_generator_loss(scores_fake)


def discriminator_objective(
    settings: TrainerConfig, discriminator: nn.Module, batch: Batch, *, weight: float = 1.0, scale: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """The discriminator's loss by the settings, [N], and what statistics show of it (detached means).

    Args:
        settings: Which loss, and its weights.
        discriminator: Images -> scores [N, 1].
        batch: The images.
        weight: Factor of R1 and R2; 0 leaves them out (between the steps of a lazy regularisation).
        scale: See gradient_penalty.
    """
    if settings.loss == "wgan-gp":
        return _wgan_gp(settings, discriminator, batch, scale)
    terms = {"r1": (batch.reals, settings.r1_gamma * weight), "r2": (batch.fakes, settings.r2_gamma * weight)}
    images = {name: x.detach().requires_grad_(gamma > 0) for name, (x, gamma) in terms.items()}
    scores = {name: discriminator(x) for name, x in images.items()}
    loss = discriminator_loss(scores["r1"], scores["r2"])
    shown = _means(loss, scores["r1"], scores["r2"])
    for name, (_, gamma) in terms.items():
        if gamma > 0:
            penalty = gradient_penalty(scores[name], images[name], scale=scale) / 4**batch.level
            loss = loss + penalty * (gamma / 2)
            shown[name] = penalty.detach().mean()
    return loss, shown


def _wgan_gp(
    settings: TrainerConfig, discriminator: nn.Module, batch: Batch, scale: float
) -> tuple[Tensor, dict[str, Tensor]]:
    real, fake = discriminator(batch.reals), discriminator(batch.fakes)
    loss = wasserstein_loss(real, fake, settings.drift)
    shown = _means(loss, real, fake)
    if settings.gp_lambda > 0:
        mixed = lerp(batch.reals, batch.fakes, batch.mixing).detach().requires_grad_(True)
        squares = gradient_penalty(discriminator(mixed), mixed, scale=scale) / 4**batch.level
        penalty = norm_penalty(squares, settings.gp_target)
        loss = loss + penalty * settings.gp_lambda
        shown["gp"] = penalty.detach().mean()
    return loss, shown


def _means(loss: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    parts = {"loss_d": loss, "scores_real": real, "scores_fake": fake, "sign_real": real.sign()}
    return {name: values.detach().float().mean() for name, values in parts.items()}

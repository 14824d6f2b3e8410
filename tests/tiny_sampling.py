"""A process that samples the fake generator; tests start several of it with torchrun. Usage: tiny_sampling.py OUT."""

import sys

import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller

from latentlab.distributed import team
from latentlab.sampling import sample


def main() -> None:
    with team(torch.device("cpu")) as crew:
        sample(
            FakeGenerator(),
            sys.argv[1],
            network=NETWORK,
            labeller=FakeLabeller(),
            num_samples=1100,
            with_images=True,
            with_all_layers=True,
            team=crew,
        )


if __name__ == "__main__":
    main()

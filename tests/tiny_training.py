"""A process of its own that trains on the squares; tests start it, several of it with torchrun, and kill it.

Usage: tiny_training.py CONFIG_JSON RUN [GRADIENTS]. With GRADIENTS it writes the gradients of the first steps there
instead of training.
"""

import sys
from pathlib import Path

import torch
from conftest import Squares
from safetensors.torch import save_file

from latentlab.distributed import Team, team
from latentlab.errors import LatentLabError
from trainers.config import RunConfig
from trainers.loop import train
from trainers.optimizer import Adam
from trainers.trainer import Trainer


def gradients(config: RunConfig, crew: Team, path: Path) -> None:
    """Save what the optimisers are given in the first three steps."""
    found: dict[str, torch.Tensor] = {}
    step = Adam.step

    def watched(adam: Adam) -> bool:
        for index, gradient in enumerate(adam.gradients()):
            found[f"{len(found):04d}.{index}"] = gradient.clone(memory_format=torch.contiguous_format)
        return step(adam)

    Adam.step = watched
    trainer = Trainer(config, Squares(), torch.device("cpu"), crew)
    for _ in range(3):
        trainer.step()
    found |= {f"stat.{name}": torch.tensor(value) for name, value in trainer.averages().items()}
    found["w_avg"] = trainer.state.generator.w_avg.clone()
    if crew.leads:
        save_file(found, path)


def main() -> int:
    torch.set_num_threads(1)
    config = RunConfig.model_validate_json(Path(sys.argv[1]).read_text())
    with team(torch.device("cpu")) as crew:
        if len(sys.argv) > 3:
            gradients(config, crew, Path(sys.argv[3]))
            return 0
        try:
            train(
                config, Squares(), Path(sys.argv[2]), resume=True, team=crew, say=lambda words: print(words, flush=True)
            )
        except LatentLabError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

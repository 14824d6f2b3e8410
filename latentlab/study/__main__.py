"""`torchrun ... -m latentlab.study FOLDER JOB`: one of the processes that share a job of a study."""

from pathlib import Path
from typing import Annotated

import typer

from latentlab.distributed import local_device, team
from latentlab.study.performing import process_job


def main(folder: Path, job: str, device: Annotated[str, typer.Option()] = "cpu") -> None:
    """Do a job of a study; progress goes to standard output as JSON lines."""
    chosen = local_device(device)
    with team(chosen) as crew:
        process_job(folder, job, chosen, crew)


if __name__ == "__main__":
    typer.run(main)

"""`latentlab demo`: the whole way from images to a report, in minutes."""

from pathlib import Path
from typing import Annotated

import typer

from latentlab.cli.options import Device, Seed, torch_device


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of reusing what is done.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a traditional and a style-based generator on the embedded faces, and report how entangled Z and W are.

    4 to 9 minutes on two CPU cores. Stopped or killed and run again, it goes on where it was.

    \b
    Example:
      latentlab demo --out demo
    """
    from latentlab.cli.display import print_table, stages
    from latentlab.demo import Demo

    study = Demo(out, seed=seed, device=torch_device(device))
    if fresh:
        study.clear()
    with stages() as display:
        page = study.run(display)
    columns, rows = study.table()
    print_table(columns, rows)
    print("95 % intervals in brackets; lower is better. Separability runs over the attributes that both occur and are")
    print("absent among the most confident samples, and compares only over the same ones.")
    print(f"Report: {page}")

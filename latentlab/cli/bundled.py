"""`latentlab networks list`: the networks that come with LatentLab."""

import json
from typing import Annotated

import typer

from latentlab.zoo import bundled, classifier_names


def list_networks(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per network.")] = False,
) -> None:
    """List the bundled networks, which commands take by name; `latentlab runs` lists your own.

    \b
    Example:
      latentlab networks list
      latentlab ppl --network faces32-style-8 --distance classifier:faces32
    """
    from latentlab.cli.display import print_table

    found = bundled()
    if as_json:
        for one in found:
            facts = {"name": one.name, "path": str(one.folder), "num_images": one.num_images, "bytes": one.num_bytes}
            print(json.dumps({**facts, "config": one.config}))
        return
    rows = [
        [
            one.name,
            one.arch,
            str(one.config["generator"]["mapping_layers"]),
            f"{one.config['generator']['resolution']}",
            f"{one.config['dataset']['name']}",
            f"{one.num_images:,}",
            f"{one.num_bytes / 2**10:,.0f} KiB",
        ]
        for one in found
    ]
    print_table(["name", "kind", "mapping layers", "pixels", "images of", "trained with", "weights"], rows)
    print(f"Bundled classifiers: {', '.join(classifier_names()) or 'none'}")

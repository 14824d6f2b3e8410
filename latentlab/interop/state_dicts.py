"""Tensors that came from others, put into a network of ours, every misfit named as it is called where it came from."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from latentlab.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)

_SHOWN = 20


def assigned(
    build: Callable[[], Network], state: Mapping[str, Tensor], names: Mapping[str, str] | None = None
) -> Network:
    """The network in eval mode and without gradients, its tensors taken from a state.

    It is built without memory first, and with it only if the state fits: settings may ask for networks of any size.
    Buffers that the state lacks keep what the settings make them (resampling filters, say) where these decide them.

    Args:
        build: Makes the network that its settings describe.
        state: Tensors by our names.
        names: What each of our tensors is called where it came from; its own name if left out.

    Raises:
        CheckpointError: A tensor is missing, superfluous, of another shape, or not finite; each is named.
    """
    called = dict(names or {})
    with torch.device("meta"):
        own = build().state_dict()
    wanted = {called.get(name, name): tensor.shape for name, tensor in own.items()}
    found = {called.get(name, name): tensor for name, tensor in state.items()}
    check_fit(wanted, found, optional={name for name in wanted if name.rsplit(".", 1)[-1] in _DECIDED})
    network = build()
    network.load_state_dict(dict(state), strict=False)
    return network.eval().requires_grad_(False)


def check_fit(wanted: Mapping[str, torch.Size], found: Mapping[str, Tensor], *, optional: Collection[str] = ()) -> None:
    """Refuse tensors that are not those of a network, by their names where they came from.

    Args:
        wanted: The shapes of the network's tensors.
        found: The tensors.
        optional: Names that may be missing, or be there though the network has none of that name.

    Raises:
        CheckpointError: Tensors are missing, superfluous, of another shape, or not finite; each is named.
    """
    problems = {
        "missing": [name for name in wanted if name not in found and name not in optional],
        "superfluous": [name for name in found if name not in wanted and name not in optional],
        "of another shape": [
            f"{name} ({list(found[name].shape)} where {list(shape)} is expected)"
            for name, shape in wanted.items()
            if name in found and found[name].shape != shape
        ],
        "NaN or infinite": [name for name, tensor in found.items() if not bool(tensor.isfinite().all())],
    }
    misfits = "; ".join(f"{what}: {_listed(names)}" for what, names in problems.items() if names)
    if misfits:
        raise CheckpointError(f"the tensors do not fit the network that the settings describe: {misfits}.")


def check_plain(state: Mapping[Any, Any]) -> None:
    """Refuse what is no plain tensor under a name, or shows its numbers repeatedly.

    Raises:
        CheckpointError: naming the first.
    """
    for name, tensor in state.items():
        plain = isinstance(name, str) and isinstance(tensor, Tensor) and tensor.layout is torch.strided
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{name!r} is no plain tensor under a name.")


_DECIDED = {"resample_filter", "up_filter", "down_filter"}
"""Last parts of the names of buffers that the settings decide."""


def _listed(names: list[str]) -> str:
    """The first of some names, and how many more there are; what cannot be printed is escaped."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(ascii(name)[1:-1] for name in names[:_SHOWN]) + more

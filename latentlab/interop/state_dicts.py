"""Tensors that came from others, put into a network of ours, every misfit named as it is called where it came from."""

from collections.abc import Callable, Mapping
from typing import TypeVar

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
    with torch.device("meta"):
        own = build().state_dict()
    called = dict(names or {})
    filters = {name for name in own if name.rsplit(".", 1)[-1] in _DECIDED}
    missing = [name for name in own if name not in state and name not in filters]
    superfluous = [name for name in state if name not in own]
    misshapen = [
        f"{called.get(name, name)} ({list(state[name].shape)} where {list(tensor.shape)} is expected)"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    not_finite = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
    problems = {
        "missing": [called.get(name, name) for name in missing],
        "superfluous": [called.get(name, name) for name in superfluous],
        "of another shape": misshapen,
        "NaN or infinite": [called.get(name, name) for name in not_finite],
    }
    found = "; ".join(f"{what}: {listed(which)}" for what, which in problems.items() if which)
    if found:
        raise CheckpointError(f"the tensors do not fit the network that the settings describe: {found}.")
    network = build()
    network.load_state_dict(dict(state), strict=False)
    return network.eval().requires_grad_(False)


_DECIDED = {"resample_filter", "up_filter", "down_filter"}
"""Last parts of the names of buffers that the settings decide."""


def listed(names: list[str]) -> str:
    """The first of some names, and how many more there are; what cannot be printed is escaped."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(ascii(name)[1:-1] for name in names[:_SHOWN]) + more

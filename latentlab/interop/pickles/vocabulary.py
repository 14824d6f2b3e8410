"""The names that official network files contain, and what each makes: the whole of what reading one can lead to."""

from typing import Any

import numpy as np

from latentlab.interop.pickles import numpy_objects, records, torch_storages
from latentlab.interop.pickles.budget import Budget, RefusedError
from latentlab.interop.pickles.machine import hashable
from latentlab.interop.pickles.words import Vocabulary

_EASY_DICT = ("dnnlib.util", "EasyDict")
_ORDERED_DICT = ("collections", "OrderedDict")
_NUMPY_CORES = ("numpy.core", "numpy._core")  # NumPy 1 and 2
_NETWORKS = (("dnnlib.tflib.network", "Network"), ("tfutil", "Network"), ("network", "Network"))
"""StyleGAN 1 and 2; its predecessor, progressive growing of GANs."""


def _empty_dict(arguments: tuple[Any, ...], _budget: Budget) -> dict[Any, Any]:
    if arguments:
        raise RefusedError("has a dict made in a way that official files do not.")
    return {}


def _check_no_state(_target: dict[Any, Any], state: Any, _budget: Budget) -> None:
    """Dicts of a class may come with an empty dict of attributes, depending on the Python that wrote them."""
    if not isinstance(state, dict) or state:
        raise RefusedError("gives a dict attributes, which official files do not. Nothing was executed.")


def _make_set(arguments: tuple[Any, ...], budget: Budget) -> set[Any]:
    match arguments:
        case (list() as members,):
            budget.step(len(members))
            return {hashable(member) for member in members}
    raise RefusedError("has a set made in a way that official files do not.")


_CALLS = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): records.make_module,
    ("torch._utils", "_rebuild_tensor_v2"): torch_storages.make_tensor,
    ("torch._utils", "_rebuild_parameter"): torch_storages.make_parameter,
    ("torch.storage", "_load_from_bytes"): torch_storages.load_storage,
    ("numpy", "dtype"): numpy_objects.make_dtype,
    ("_codecs", "encode"): numpy_objects.encode_text,
    ("builtins", "set"): _make_set,
    ("__builtin__", "set"): _make_set,
    _ORDERED_DICT: _empty_dict,
    **{(f"{core}.multiarray", "_reconstruct"): numpy_objects.empty_array for core in _NUMPY_CORES},
    **{(f"{core}.multiarray", "scalar"): numpy_objects.make_scalar for core in _NUMPY_CORES},
    **{(f"{core}.numeric", "_frombuffer"): numpy_objects.array_of_buffer for core in _NUMPY_CORES},
}
_MAKERS = {_EASY_DICT: dict, **dict.fromkeys(_NETWORKS, records.TensorFlowNetwork)}

OFFICIAL = Vocabulary(
    names=frozenset([*_CALLS, *_MAKERS, ("numpy", "ndarray")]),
    calls=_CALLS,
    makers=_MAKERS,
    builders={
        dict: _check_no_state,
        np.dtype: numpy_objects.check_dtype_state,
        numpy_objects.PendingArray: numpy_objects.fill_array,
        records.TensorFlowNetwork: records.fill_network,
    },
)

"""Official StyleGAN network files, read as data: nothing in them is imported, looked up or executed.

`open_official` reads a file. `sniffing` tells other files apart, `machine` runs the few pickle instructions that
official files contain over `cursor`, within the limits of `budget`; `vocabulary` lists the names (`words`) that may
occur and what each makes: arrays (`numpy_objects`, `torch_storages`) and inert records of networks (`records`).
`official` says which networks there are, `names` gives their tensors names, `architectures` tells what they are.
docs/official-networks.md says what is refused.
"""

from latentlab.interop.pickles.budget import Limits
from latentlab.interop.pickles.official import OfficialFile, OfficialNetwork, open_official
from latentlab.interop.pickles.records import Module, TensorFlowNetwork

PICKLES = (".pkl", ".pickle")
"""How names of official files end."""

__all__ = ["PICKLES", "Limits", "Module", "OfficialFile", "OfficialNetwork", "TensorFlowNetwork", "open_official"]

"""Networks in files that others' tools write, as functions of a batch of images: ONNX and TorchScript."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentlab.errors import WeightsError
from latentlab.interop.factories import FAILURES, failure

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


class OnnxNetwork:
    """An ONNX file, run by onnxruntime (the optional extra `latentlab[onnx]`), on the GPU where it can.

    Attributes:
        input_shape: Sizes of its input, None where they are free.
        takes_bytes: Whether its input is uint8; images are rounded and clipped for it.

    Raises:
        WeightsError: onnxruntime is missing, or cannot use the file.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self._session = _session(path, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            listed = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
            raise WeightsError(f"{path} takes {listed or 'nothing'}; expected one input of images with four axes.")
        self._input, self._dtype = inputs[0].name, _TYPES[inputs[0].type]
        self.input_shape = [size if isinstance(size, int) else None for size in inputs[0].shape]
        self.takes_bytes = self._dtype is np.uint8

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """A batch in the file's layout -> its outputs by name; with a fixed batch size, batches are cut and filled."""
        array = images.cpu().numpy()
        if self.takes_bytes:
            array = array.round().clip(0, 255)
        array = array.astype(self._dtype)
        size = self.input_shape[0] or len(array)
        parts = [self._run(array[start : start + size], size) for start in range(0, len(array), size)]
        names = [output.name for output in self._session.get_outputs()]
        joined = (np.concatenate(column) for column in zip(*parts, strict=True))
        return {name: torch.from_numpy(values).to(images.device) for name, values in zip(names, joined, strict=True)}

    def _run(self, batch: np.ndarray, size: int) -> list[np.ndarray]:
        missing = size - len(batch)
        filled = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
        return [output[: len(batch)] for output in self._session.run(None, {self._input: filled})]


def _session(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise WeightsError(
            f"{path}: ONNX files need onnxruntime, which cannot be loaded ({error}): install `latentlab[onnx]`."
        ) from error
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": 0}))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.use_deterministic_compute = True
    options.intra_op_num_threads = torch.get_num_threads()  # one for each of torchrun's processes
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except FAILURES as error:  # onnxruntime has an exception class for every status
        raise WeightsError(f"{path} cannot be used by onnxruntime: {failure(error)}") from error


def load_torchscript(path: Path, device: torch.device) -> torch.nn.Module:
    """A TorchScript file in eval mode, without gradients; loading it executes no Python and unpickles no objects.

    Raises:
        WeightsError: It is another kind of file, or damaged.
    """
    if not _is_torchscript(path):
        raise WeightsError(
            f"{path} is no TorchScript file: a checkpoint of torch.save lacks the network's code. Write one with "
            "torch.jit.trace(network, images).save(...), or name a Python function as package.module:factory."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch recommends other forms; files of this one remain
            module: torch.nn.Module = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} cannot be loaded as TorchScript: {str(error).splitlines()[0]}") from error
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module.eval()


def _is_torchscript(path: Path) -> bool:
    """Whether a file is an archive with TorchScript code; those of torch.save have none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except zipfile.BadZipFile:
        return False
    return "constants.pkl" in names and any(name.startswith("code/") for name in names)

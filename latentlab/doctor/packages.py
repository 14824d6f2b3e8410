"""Which packages LatentLab uses, and what for."""

from latentlab.doctor.form import Requirement

REQUIREMENTS = (
    Requirement("torch", "torch", "train, classifiers, sample, edit, ppl, fid", needs=("numpy",)),
    Requirement("torchvision", "torchvision", "weights, fid, ppl --distance lpips-...", needs=("torch",)),
    Requirement("lpips", "lpips", "ppl --distance lpips-...", needs=("torch", "torchvision")),
    Requirement("numpy", "numpy", "everything"),
    Requirement("scipy", "scipy", "fid, separability, intervals", needs=("numpy",)),
    Requirement("scikit-learn", "sklearn", "separability, directions, disentanglement", needs=("numpy", "scipy")),
    Requirement("h5py", "h5py", "sample, stores, prepared images", needs=("numpy",)),
    Requirement("pandas", "pandas", "labels and scores from files", needs=("numpy",)),
    Requirement("pillow", "PIL", "images"),
    Requirement("matplotlib", "matplotlib", "figures, report", needs=("numpy", "pillow")),
    Requirement("safetensors", "safetensors", "networks and classifiers on disk"),
    Requirement("torch-fidelity", "torch_fidelity", "fid with Inception", "fid", needs=("torch", "torchvision")),
    Requirement("onnxruntime", "onnxruntime", "labellers that are ONNX files", "onnx", needs=("numpy",)),
    Requirement("ray", "ray", "study --executor ray", "cluster"),
    Requirement("tensorboard", "tensorboard", "curves of a training in TensorBoard", "tensorboard"),
)


def requirement(name: str) -> Requirement:
    """The requirement of this name."""
    return next(one for one in REQUIREMENTS if one.name == name)

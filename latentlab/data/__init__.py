"""Images to train on: the embedded faces, folders of images, and CelebA with its 40 attributes."""

from latentlab.data.dataset import Dataset, open_dataset

__all__ = ["Dataset", "open_dataset"]

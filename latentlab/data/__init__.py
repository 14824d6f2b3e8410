"""Images to train on: the embedded faces, folders and zip files of images, CelebA, and prepared images."""

from latentlab.data.dataset import Dataset, open_dataset

__all__ = ["Dataset", "open_dataset"]

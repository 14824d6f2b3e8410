"""Classifiers of binary face attributes: trained on labelled images, applied to a generator's images."""

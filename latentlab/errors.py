"""Every error LatentLab raises on purpose, as one tree.

    LatentLabError                 the command line prints it without a traceback and exits 1
    ├── UsageError (ValueError)    wrong use: an option or argument that is not allowed; exits 2
    │   ├── OutputExistsError      the output path is taken; nothing was touched
    │   ├── UnknownNetworkError    no network goes by this name
    │   └── NoFigureError          the network has nothing that a figure would show
    ├── DataError                  images, attribute files or labels that cannot be used
    ├── StoreError                 a run.h5 that cannot be read, or lacks what is asked for
    ├── DirectionsError            a directions.npz that cannot be read, or belongs to another network or space
    ├── CheckpointError            a snapshot, network or classifier folder that cannot be used
    ├── WeightsError               pretrained weights that are missing or have the wrong form
    └── DivergenceError            training produced non-finite numbers

A message says what was given, what is allowed, and what to do.

Warnings have a class of their own, LatentLabWarning, which the command line prints as one line each.
"""


class LatentLabError(Exception):
    """Root of all errors that LatentLab raises on purpose."""

    exit_code = 1


class UsageError(LatentLabError, ValueError):
    """An argument or option has a value that is not allowed."""

    exit_code = 2


class OutputExistsError(UsageError):
    """The output path exists and was left as it is."""


class UnknownNetworkError(UsageError):
    """No network goes by the given name."""


class NoFigureError(UsageError):
    """The network has nothing that a figure would show, such as noise inputs."""


class DataError(LatentLabError):
    """Images, attribute files or labels that cannot be used."""


class StoreError(LatentLabError):
    """A store of samples (run.h5) that cannot be read or lacks what is asked for."""


class DirectionsError(LatentLabError):
    """A file of attribute directions that cannot be read, or that belongs to another network or space."""


class CheckpointError(LatentLabError):
    """A snapshot, network or classifier folder that cannot be used."""


class WeightsError(LatentLabError):
    """Pretrained weights that are missing or do not have the expected form."""


class DivergenceError(LatentLabError):
    """Training produced non-finite losses or weights."""


class LatentLabWarning(UserWarning):
    """What can be used but is suspicious."""


class OneClassWarning(LatentLabWarning):
    """Images that all have, or all lack, an attribute that shall be learned."""


class ProbabilitiesWarning(LatentLabWarning):
    """Scores that are taken for log-odds look like probabilities."""


class UpsamplingWarning(LatentLabWarning):
    """Images are smaller than what looks at them takes, and were enlarged."""


class UnknownNetworkWarning(LatentLabWarning):
    """What was found of a network may not be of the one in use: nothing says of which it is."""


class DegenerateWarning(LatentLabWarning):
    """Numbers that can be measured, of data in which something is constant or said twice."""


class OffSamplesWarning(LatentLabWarning):
    """Latents are edited to where the samples do not lie that the directions come from."""

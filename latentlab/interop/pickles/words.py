"""Names in a pickle, kept as names; and the form of the list of those that may occur in a stream."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from latentlab.interop.pickles.budget import Budget
from latentlab.interop.pickles.cursor import shown


@dataclass(frozen=True)
class Global:
    """A name of a class or function in a file: a pair of texts, and no more."""

    module: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.module}.{self.name}")


Key = tuple[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """The names that may occur in a stream, and what they make.

    Attributes:
        names: Module and name of every class and function that may be mentioned.
        calls: Functions of ours (arguments, budget) for what a file calls.
        makers: Functions of ours () for classes that a file makes objects of.
        builders: Functions of ours (object, state, budget) by the type of object that a file gives a state.
        persistent: What an identifier of something outside the stream stands for; None where there are none.
    """

    names: frozenset[Key]
    calls: Mapping[Key, Callable[[tuple[Any, ...], Budget], Any]]
    makers: Mapping[Key, Callable[[], Any]]
    builders: Mapping[type, Callable[[Any, Any, Budget], None]]
    persistent: Callable[[Any], Any] | None = None

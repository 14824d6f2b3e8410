"""Objects that users' own code makes: `package.module:factory`, imported and called, what fails said in words."""

import importlib
import inspect
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from latentlab.errors import LatentLabError, UsageError

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_FORM = re.compile(f"({_NAME}):({_NAME})")
_OURS = str(Path(__file__).parent.parent)
FAILURES = (Exception, SystemExit)
"""What users' code may raise and is reported as its failure; Ctrl-C passes."""


def names_factory(spec: str) -> bool:
    """Whether a name is meant as `package.module:factory`: it has a colon, and no file or folder is called so."""
    return ":" in spec and not Path(spec).exists()


def make(spec: str) -> Any:
    """Import `package.module:factory`, with the current folder importable, and return what the factory returns.

    Raises:
        UsageError: There is no such module or factory, it needs arguments, it fails, or it returns None.
    """
    factory = find(spec)
    _check_callable(spec, factory)
    try:
        made = factory()
    except LatentLabError:
        raise  # such as wrap_generator's, which says all there is to say
    except FAILURES as error:
        raise UsageError(f"{spec} failed: {failure(error)}") from error
    if made is None:
        raise UsageError(f"{spec} returned None: end the factory with `return` and the object that it made.")
    return made


def find(spec: str) -> Any:
    """What `package.module:attribute` names.

    Raises:
        UsageError: The text has another form, importing the module fails, or it has no such attribute.
    """
    parts = _FORM.fullmatch(spec)
    if parts is None or parts[1].endswith(".py"):
        raise UsageError(
            f"{spec}: expected package.module:factory, such as mymodule:make for the function make in mymodule.py."
        )
    module = _import(spec, parts[1])
    found: Any = module
    for name in parts[2].split("."):
        if not hasattr(found, name):
            raise UsageError(f"{spec}: {parts[1]} has no {parts[2]}{_offer(module)}.")
        found = getattr(found, name)
    return found


def moved(made: Any, spec: str, device: Any) -> Any:
    """An object on a device, if it has a method `to`.

    Raises:
        UsageError: The method fails.
    """
    if not callable(getattr(made, "to", None)):
        return made
    try:
        there = made.to(device)
    except FAILURES as error:
        raise UsageError(f"{spec}: moving it to {device} failed: {failure(error)}") from error
    return made if there is None else there


def failure(error: BaseException) -> str:
    """The kind and words of an exception, and the last line of the user's own code that it went through."""
    words = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_users(frame.filename)]
    where = f" ({own[-1].filename}, line {own[-1].lineno}: {own[-1].line})" if own else ""
    return f"{type(error).__name__}: {words}{where}" if words else f"{type(error).__name__}{where}"


def _import(spec: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it; it stays, since users' code may import more when it is called
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"{spec}: importing {name} failed: {failure(error)}") from error
        raise UsageError(
            f"{spec}: there is no module {error.name}, neither in the current folder {here} nor among the installed "
            "packages: run the command in the folder that holds it, or install its package."
        ) from error
    except FAILURES as error:
        raise UsageError(f"{spec}: importing {name} failed: {_syntax(error) or failure(error)}") from error


def _syntax(error: BaseException) -> str | None:
    """A syntax error with its own place, which is in no frame of the traceback."""
    if not isinstance(error, SyntaxError):
        return None
    return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno}: {(error.text or '').strip()})"


def _offer(module: ModuleType) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return f"; it has {', '.join(own[:10])}" if own else ""


def _check_callable(spec: str, factory: Callable[[], Any]) -> None:
    """A factory is a function or class that can be called without arguments."""
    if not (inspect.isroutine(factory) or inspect.isclass(factory)) and not callable(getattr(factory, "func", None)):
        raise UsageError(
            f"{spec} is a {type(factory).__name__}, not a function: name a function without arguments that returns it."
        )
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise UsageError(f"{spec} must be callable without arguments: {error}.") from error
    except ValueError:  # builtins without a signature
        return


def _is_users(filename: str) -> bool:
    """Whether a file is neither Python's, nor an installed package's, nor LatentLab's."""
    installed = (sysconfig.get_paths()["stdlib"], _OURS)
    return not filename.startswith(("<", *installed)) and "site-packages" not in filename

"""Code of a user's own, imported by the name that the user gives: my.module:Name.

Stores and runs record such names. What they record is imported only if the user, too, has given
the same name to this process; otherwise reading other people's files could run their code.
"""

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from inrgen.core.config_text import UnknownName, check_name, read_value, suggest

_OWN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_HERE = Path(__file__).parents[2]
# Beginnings of the paths of code that is not the user's; <frozen modules> have no file.
_NOT_OWN = (
    *(f"{_HERE / package}{os.sep}" for package in ("inrgen", "pipelines")),
    *(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "purelib", "platlib")),
    "<frozen",
)
# Names that the user has given to this process.
_given: set[str] = set()
# Texts of other types are passed on as they are.
_READABLE = (bool, int, float, str)


def is_own_name(name: str) -> bool:
    """Tell whether a name has the form MODULE:NAME."""
    return _OWN.fullmatch(name) is not None


def import_own(name: str, kind: str) -> Any:
    """Import the object that MODULE:NAME names; this runs the module's code.

    Modules are found as Python finds them, and in the current folder.

    Args:
        kind: the noun for error messages, such as "transform".

    Raises ValueError for a module that cannot be imported, and for a name that it lacks.
    """
    module_name, _, attribute = name.partition(":")
    if not is_own_name(name):
        raise ValueError(f"{kind} must be MODULE:NAME; got {name!r}")
    _given.add(name)
    try:
        if importlib.util.find_spec(module_name.split(".")[0]) is None:
            # Installed commands, unlike python -m, do not look in the current folder.
            sys.path.insert(0, str(Path.cwd()))
            importlib.invalidate_caches()
        module = importlib.import_module(module_name)
    except Exception as error:  # the module's own code may raise anything
        raise ValueError(
            f"{kind} {name}: importing {module_name} failed: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, attribute):
        names = [one for one in vars(module) if not one.startswith("_")]
        near = suggest(attribute, names)
        raise ValueError(f"{kind} {name}: {module_name} has no {attribute}{near}")
    return getattr(module, attribute)


def import_recorded(name: str, kind: str) -> Any:
    """Import an object that a store or a run names, if the user has given this name, too.

    Raises ValueError otherwise, as import_own does.
    """
    if name not in _given:
        raise ValueError(
            f"{kind} {name} is code of your own, which files do not run: name it yourself, too"
        )
    return import_own(name, kind)


def own_place(error: BaseException) -> str:
    """The place in the user's code of an error: " in load (waves.py, line 7)"; "" if it has none.

    Frames of inrgen, of Python and of installed packages are not the user's. The file has no
    folder, so records of items do not depend on where the code lies.
    """
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if not code.co_filename.startswith(_NOT_OWN):
            found = f" in {code.co_qualname} ({Path(code.co_filename).name}, line {line})"
    return found


def own_failure(called: str, error: Exception) -> ValueError:
    """The error of the user's code as one that names the code and the place in it.

    Args:
        called: the noun and name for error messages, such as "transform my.module:swell".
    """
    return ValueError(f"{called} failed{own_place(error)}: {type(error).__name__}: {error}")


def call_own(called: str, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Call code of the user's own, so that an error in it does not look like one of inrgen.

    Args:
        called: the noun and name for error messages, such as "transform my.module:swell".

    Raises ValueError that names the code and its error; an OSError, which names a file, as it is.
    """
    try:
        return function(*args, **keywords)
    except (OSError, UnknownName):
        raise
    except Exception as error:  # the user's code may raise anything
        raise own_failure(called, error) from error


def own_name(value: Any) -> str:
    """The MODULE:NAME by which a class or function can be imported again.

    Raises ValueError for one that no import finds: of a notebook, a script or a function's body.
    """
    name = f"{value.__module__}:{value.__qualname__}"
    if value.__module__ == "__main__" or not is_own_name(name):
        raise ValueError(
            f"{value.__qualname__} must be importable by name, so that others can use it again: "
            f"move it from {value.__module__} to the top of a module"
        )
    # Whoever passes the object itself has named it.
    _given.add(name)
    return name


def code_version(value: Any) -> str:
    """The version of the package that a class or function is of, or else a digest of its code."""
    package = sys.modules[value.__module__.split(".")[0]]
    version = getattr(package, "__version__", None)
    if version is not None:
        return str(version)
    return hashlib.sha256(inspect.getsource(value).encode()).hexdigest()[:16]


def read_arguments(
    function: Callable[..., Any],
    texts: Mapping[str, str],
    kind: str,
    settled: Collection[str] = (),
) -> dict[str, Any]:
    """Read texts of keyword arguments by the annotations of a function or class.

    Args:
        settled: arguments that are not for texts to set.

    Raises ValueError for an argument that the function lacks, or a text not of its type.
    """
    parameters = dict(inspect.signature(function).parameters)
    known = [name for name in parameters if name not in settled]
    try:
        hints = get_type_hints(function.__init__ if isinstance(function, type) else function)
    except Exception:  # annotations may name things that do not exist while the code runs
        hints = {}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    values: dict[str, Any] = {}
    for key, text in texts.items():
        if not takes_any:
            check_name(key, known, f"{kind}: argument")
        hint = hints.get(key, str)
        values[key] = read_value(text, hint, f"{kind}: {key}") if hint in _READABLE else text
    return values

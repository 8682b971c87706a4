"""Recipes as TOML files: the fields of a recipe text, one a line, and the recipe they change."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inrgen.core.config_text import NamedFields

SUFFIX = ".toml"
# The key that names the recipe that all other keys change.
_BASE = "recipe"


def read_recipe_file(path: Path) -> NamedFields:
    """The name and the fields of a recipe file, as texts.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TOML, or holds other than numbers, words, truth values and lists.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe file {path}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML file: {error}") from error
    texts = {key: _to_text(value, f"{path}: {key}") for key, value in values.items()}
    return NamedFields(name=texts.pop(_BASE, ""), fields=texts)


def _to_text(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        # "/" parts numbers such as 1e-3, which hold a "-" themselves.
        return "/".join(_to_text(each, name) for each in value)
    if isinstance(value, int | float | str):
        return str(value)
    raise ValueError(f"{name} must be a number, a word, true, false or a list; got {value!r}")


def recipe_toml(base: str, values: Mapping[str, Any]) -> str:
    """The text of a recipe file. None becomes "never", since TOML has no such value."""
    return "\n".join(f"{key} = {_toml(value)}" for key, value in {_BASE: base, **values}.items())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None or isinstance(value, str):
        return f'"{value or "never"}"'
    return repr(value)

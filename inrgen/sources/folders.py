"""Files below a folder as items: their list, their ids, and which of them may be read."""

import os
from collections.abc import Collection
from pathlib import Path

from inrgen.sources.base import BadSignal

# A file's path below the root of its data set.
Parts = tuple[str, ...]


def _cannot_list(error: OSError) -> None:
    raise ValueError(f"the folder {error.filename} cannot be read: {error.strerror}") from error


def list_files(root: Path, suffixes: Collection[str], source: str) -> list[Parts]:
    """List all files below root with one of the suffixes, in order, except hidden ones.

    Links to folders are refused. Followed, they could lead in circles or out of the data set;
    skipped, they would leave items out silently.

    Args:
        suffixes: in lower case, with their dots; files may have them in upper case.
        source: the name that the user gave the source.
    """
    found = []
    for folder, subfolders, names in os.walk(root, onerror=_cannot_list):
        here = Path(folder)
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__MACOSX"))]
        for name in subfolders:
            if (here / name).is_symlink():
                raise ValueError(
                    f"{here / name} is a symbolic link to a folder, which {source} does not "
                    "follow; put the folder itself there, or name it as data"
                )
        for name in names:
            if Path(name).suffix.lower() in suffixes and not name.startswith("."):
                found.append((here / name).relative_to(root).parts)
    return sorted(found)


def item_id_of(parts: Parts) -> str:
    """Join a relative path with slashes; bytes that are no UTF-8 become \\xNN."""
    return os.fsencode("/".join(parts)).decode("utf-8", "backslashreplace")


def real_file(root: Path, parts: Parts) -> Path:
    """Resolve a path below root, through links that stay below root.

    Raises BadSignal if the file cannot or must not be read. Reasons name no folder, so records do
    not depend on where the data lie.
    """
    try:
        real = root.joinpath(*parts).resolve(strict=True)
        if not real.is_relative_to(root):
            raise BadSignal("is a symbolic link that leaves the folder")
        if not real.is_file():
            raise BadSignal("is not a regular file")
        if real.stat().st_size == 0:
            raise BadSignal("is an empty file")
        real.open("rb").close()
    except OSError as error:
        raise BadSignal(f"cannot be read: {error.strerror}") from error
    except RuntimeError:  # for a circle of links, before Python 3.13
        raise BadSignal("is a symbolic link that leads back to itself") from None
    return real

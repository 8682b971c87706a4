"""Files below a folder as items: their list, their ids, and which of them may be read."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from inrgen.sources.base import BadSignal
from inrgen.sources.config import SourceConfig
from inrgen.sources.listing import counted

# A file's path below the root of its data set.
Parts = tuple[str, ...]


def _cannot_list(error: OSError) -> None:
    raise ValueError(f"the folder {error.filename} cannot be read: {error.strerror}") from error


def _check_link(folder: Path, root: Path, source: str, follow_links: bool) -> None:
    """Refuse a link to a folder, or, where links are followed, one that leads in a circle."""
    if not follow_links:
        raise ValueError(
            f"{folder} is a symbolic link to a folder, which {source} does not follow; put the "
            "folder itself there, name it as data, or give --follow-links"
        )
    above = [parent for parent in folder.parents if parent == root or root in parent.parents]
    if folder.resolve() in {parent.resolve() for parent in above}:
        raise ValueError(f"{folder} is a symbolic link to a folder that holds it: a circle")


def list_files(
    root: Path, suffixes: Collection[str], source: str, follow_links: bool = False
) -> tuple[list[Parts], Counter[str]]:
    """List all files below root with one of the suffixes, in order, except hidden ones.

    Links to folders are refused, unless they are to be followed. Skipped, they would leave items
    out silently.

    Args:
        suffixes: in lower case, with their dots; files may have them in upper case.
        source: the name that the user gave the source.

    Returns:
        The files, and the number of other files by suffix.
    """
    found, others = list[Parts](), Counter[str]()
    for above, name in counted(_walk(root, source, follow_links), "files listed"):
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path a file costs more
        if suffix in suffixes:
            found.append((*above, name))
        else:
            others[suffix.rstrip(".") or "without a suffix"] += 1
    return sorted(found), others


def _walk(root: Path, source: str, follow_links: bool) -> Iterator[tuple[Parts, str]]:
    """Every file below root except hidden ones: the parts of its folder, and its name."""
    walk = os.walk(root, onerror=_cannot_list, followlinks=follow_links)
    for folder, subfolders, names in walk:
        here = Path(folder)
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__MACOSX"))]
        for name in subfolders:
            if (here / name).is_symlink():
                _check_link(here / name, root, source, follow_links)
        above = here.relative_to(root).parts
        yield from ((above, name) for name in names if not name.startswith("."))


def folder_root(config: SourceConfig, holding: str) -> Path:
    """The resolved folder of a source of files. Raises FileNotFoundError if there is none."""
    root = Path(config.data_folder(holding))
    if config.name == "modelnet40" and (root / "ModelNet40").is_dir():
        root = root / "ModelNet40"
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    return root.resolve()


def check_mounted(root: Path, paths: Sequence[Parts], source: str) -> None:
    """Raise ValueError unless a worker finds the folder that the driver has listed.

    A folder that is not mounted on a node would otherwise turn its items into bad ones. One file
    may vanish at any time, but hardly all files of a block.
    """
    if any(os.path.lexists(root.joinpath(*parts)) for parts in paths):
        return
    if len(paths) > 1 or not root.is_dir() or not any(root.iterdir()):
        raise ValueError(
            f"a worker finds none of {len(paths):,} files of {source} in {root}: all nodes must "
            "see the folder that was listed at the start"
        )


def item_id_of(parts: Parts) -> str:
    """Join a relative path with slashes; bytes that are no UTF-8 become \\xNN."""
    return os.fsencode("/".join(parts)).decode("utf-8", "backslashreplace")


def real_file(root: Path, parts: Parts, follow_links: bool = False) -> Path:
    """Resolve a path below root, through links that stay below root, or through any.

    Raises BadSignal if the file cannot or must not be read. Reasons name no folder, so records do
    not depend on where the data lie.
    """
    try:
        real = root.joinpath(*parts).resolve(strict=True)
        if not follow_links and not real.is_relative_to(root):
            raise BadSignal("is a symbolic link that leaves the folder (--follow-links allows it)")
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

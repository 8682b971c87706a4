"""Create a store, or make sure that the one on disk is the same."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inrgen.core.spec import InrSpec
from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.layout import LOCK, ROOT_COPY, ROOT_DOCUMENT, STAGING, Layout
from inrgen.store.metadata import (
    StoreFacts,
    check_arrays,
    child_documents,
    parse_root,
    plain_json,
    root_document,
)

# None is a value of JSON, so a missing field needs another mark.
_MISSING = object()


def _value(facts: Mapping[str, Any], key: str) -> Any:
    # A source's limit that records no order takes the first items.
    if key == "limit_order" and facts.get("limit") is not None:
        return facts.get(key, "first")
    return facts.get(key, _MISSING)


def name_differences(path: str, there: object, here: object) -> Iterator[str]:
    """Yield every place, by dotted path, where two JSON values differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted(there.keys() | here.keys()):
            below = f"{path}.{key}" if path else key
            yield from name_differences(below, _value(there, key), _value(here, key))
    elif there != here:
        texts = ["nothing" if value is _MISSING else repr(value) for value in (there, here)]
        yield f"{path} (there {texts[0]}, here {texts[1]})"


def _check_same(
    path: object, found: StoreFacts, arrays: Sequence[tuple[InrSpec, Layout]], identity: dict
) -> None:
    wanted = {spec.spec_id: {**spec.to_dict(), **layout.to_dict()} for spec, layout in arrays}
    there = {
        spec_id: {**spec.to_dict(), **found.layouts[spec_id].to_dict()}
        for spec_id, spec in found.specs.items()
    }
    # Arrays follow from the identity, so they are named only if the identity does not differ.
    differing = list(name_differences("", found.identity, identity)) or list(
        name_differences("arrays", there, wanted)
    )
    if differing:
        # A build on more items, or on a store that took more items in before.
        more = found.versions or any(place.startswith("items.") for place in differing)
        hint = "; `inrgen build --append` adds the items that are new" if more else ""
        raise ValueError(
            f"{path} holds another store, which differs in {'; '.join(differing)}{hint}"
        )


def _check_ours(files: Files, path: object) -> None:
    """Refuse a folder that holds anything but a half-made store, which its lock identifies."""
    found = files.top_names()
    foreign = sorted(found - {LOCK, STAGING})
    if ROOT_COPY in found:
        raise DamagedStore(f"{path} is damaged: its {ROOT_DOCUMENT} is lost", key=ROOT_DOCUMENT)
    if foreign or (found and LOCK not in found):
        name = foreign[0] if foreign else sorted(found)[0]
        raise FileExistsError(f"{path} is not empty and not an inrgen store: it holds {name}")


def _complete(files: Files, path: object, root: bytes) -> None:
    """Write the documents that the root document promises and that are missing."""
    for key, document in {**child_documents(root), ROOT_COPY: root}.items():
        if files.size_bytes(key) is None:
            files.create(key, document)
        elif files.read(key) != document:
            raise DamagedStore(f"{path} is damaged: its {key} was altered", key=key)


def create_store(
    path: str | Path,
    arrays: Sequence[tuple[InrSpec, Layout]],
    identity: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """Create a store; if it exists already, check that it is this one.

    A process killed here leaves nothing, or a store that the same call completes. The result does
    not depend on when, or how often, this was called.

    Args:
        path: a folder that is missing, empty, or holds this very store, finished or half made.
        arrays: each architecture, with the cut of its rows.
        identity: plain JSON that must be the same when the store is resumed.
        about: plain JSON that is recorded and not compared, such as the code's version.

    Raises:
        ValueError: no store can hold the arrays; or the store there has another identity, and
            every field that differs is named.
        FileExistsError: the folder holds something else.
        DamagedStore: the store there was altered.
        StoreBusy: another process is writing to it.
    """
    spec_ids = [spec.spec_id for spec, _ in arrays]
    if not arrays or len(set(spec_ids)) < len(spec_ids):
        raise ValueError(f"arrays needs one or more different specs; got {spec_ids}")
    # All is checked before the folder is made: what stays of a wrong command refuses the right one.
    check_arrays(arrays)
    identity, about = plain_json("identity", identity), plain_json("about", about)
    files = open_files(path)
    files.prepare()
    if files.size_bytes(ROOT_DOCUMENT) is None:
        _check_ours(files, path)
        # one step, and it holds all other documents: a process killed before it leaves nothing,
        # and after it a store that this same call completes
        with files.lock() as locked:
            locked.create(ROOT_DOCUMENT, root_document(arrays, identity, about))
    root = files.read(ROOT_DOCUMENT)
    _check_same(path, parse_root(root, path), arrays, identity)
    _complete(files, path, root)

"""Check a store's zarr documents against each other, and restore those that were damaged."""

from collections.abc import Iterator
from pathlib import Path

from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files, open_files
from inrgen.store.findings import Finding
from inrgen.store.fragment import open_parquet
from inrgen.store.index import index_seals
from inrgen.store.layout import INDEX, ROOT_COPY, ROOT_DOCUMENT, parse_index_name
from inrgen.store.metadata import StoreFacts, child_documents, parse_root
from inrgen.store.seal import read_seal
from inrgen.store.statistics import check_statistics


def _read(files: Files, key: str) -> bytes | None:
    try:
        return files.read(key)
    except FileNotFoundError:
        return None


def sound_documents(files: Files, where: object) -> dict[str, bytes]:
    """Every document as it was written, by key, from whichever copy of the root is whole.

    The root document holds all others, and there are two copies of it, each with its own digest.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore: both copies are damaged.
        ValueError: it is something else, or of a later format.
    """
    copies = [_read(files, key) for key in (ROOT_DOCUMENT, ROOT_COPY)]
    whole = [copy for copy in copies if copy is not None and read_seal(copy) is not None]
    if whole:
        return {ROOT_DOCUMENT: whole[0], ROOT_COPY: whole[0], **child_documents(whole[0])}
    if copies == [None, None]:
        raise FileNotFoundError(f"{where} is not an inrgen store: it has no {ROOT_DOCUMENT}")
    if copies[1] is None and copies[0] is not None:
        parse_root(copies[0], where)
    raise DamagedStore(
        f"{where} is damaged beyond repair: neither {ROOT_DOCUMENT} nor {ROOT_COPY} is whole",
        key=ROOT_DOCUMENT,
    )


def sound_facts(path: str | Path) -> StoreFacts:
    """What a store is, from whichever copy of the root is whole. Raises as sound_documents does."""
    return parse_root(sound_documents(open_files(path), path)[ROOT_DOCUMENT], path)


def check_documents(files: Files, sound: dict[str, bytes]) -> Iterator[Finding]:
    """Every document that is not as it was written."""
    for key, document in sound.items():
        found = _read(files, key)
        if found is None:
            yield Finding(kind="document", key=key, message="the document is lost")
        elif found != document:
            yield Finding(kind="document", key=key, message="the document was altered")


def check_index(files: Files, facts: StoreFacts) -> Iterator[Finding]:
    """Every index file that is not made of the fragments as they are now."""
    for name in files.names(INDEX):
        key = f"{INDEX}/{name}"
        named = parse_index_name(name)
        if named is None:
            continue
        try:
            _, said = open_parquet(files.read(key))
        except ValueError as error:
            yield Finding(kind="index", key=key, message=str(error))
            continue
        try:
            expected = index_seals(files, *named)
        except (FileNotFoundError, ValueError):
            # A fragment that is lost or damaged has a finding of its own.
            continue
        if (said["store_seal"], said["fragments"]) != (facts.seal, expected):
            yield Finding(kind="index", key=key, message="it is not of the records as they are")


def restore_documents(path: str | Path) -> list[Finding]:
    """Write damaged or lost documents again, remove damaged derived files; what was wrong of both.

    Findings of kind document are of what was written again, others of what was removed.

    An index that was removed comes back when a driver next finishes the store, statistics when
    they are next asked for.

    Raises:
        DamagedStore: both copies of the root document are damaged.
        StoreBusy: another process is writing to the store.
    """
    sound = sound_documents(open_files(path), path)
    mended = []
    with open_files(path).lock() as files:
        for finding in check_documents(files, sound):
            files.remove(finding.key)
            files.create(finding.key, sound[finding.key])
            mended.append(finding)
        facts = parse_root(sound[ROOT_DOCUMENT], path)
        for finding in [*check_index(files, facts), *check_statistics(files, facts, path)]:
            files.remove(finding.key)
            mended.append(finding)
    return mended

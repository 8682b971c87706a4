"""Documents of a store that may be damaged, from whichever copy of its root is whole."""

from inrgen.store.digests import read_self_checksum
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import open_parquet
from inrgen.store.inspection import read_if_there
from inrgen.store.layout import RECORDS, ROOT_COPY, ROOT_DOCUMENT
from inrgen.store.metadata import StoreFacts, child_documents, no_store, parse_root


def _root_of_records(files: Files, copies: list[bytes]) -> bytes:
    """Return the root document that the fragments belong to, of two whole ones that differ.

    Raises DamagedStore if fragments do not tell, so that no repair overwrites the right one.
    """
    by_checksum = {read_self_checksum(copy): copy for copy in copies}
    for copy in copies:
        # The copy follows the root document, so a driver that was stopped leaves the older one.
        versions = parse_root(copy, files.location).versions
        if any(version.self_checksum in by_checksum for version in versions):
            return copy
    for name in files.names(RECORDS):
        try:
            _, facts = open_parquet(files.read(f"{RECORDS}/{name}"))
        except ValueError:
            continue
        if facts.get("store_seal") in by_checksum:
            return by_checksum[facts["store_seal"]]
    raise DamagedStore(
        f"{files.location} is damaged beyond repair: {ROOT_DOCUMENT} and {ROOT_COPY} are of "
        "different stores, and no records tell which is right; remove the wrong one",
        key=ROOT_DOCUMENT,
    )


def sound_documents(files: Files) -> dict[str, bytes]:
    """Return every document as it was written, by key. Raises as sound_facts does."""
    # the root document repeats all others, and is stored twice
    copies = [read_if_there(files, key) for key in (ROOT_DOCUMENT, ROOT_COPY)]
    whole = [copy for copy in copies if copy is not None and read_self_checksum(copy) is not None]
    if len(set(whole)) > 1:
        whole = [_root_of_records(files, whole)]
    if whole:
        # names of documents become names of files, so they are checked first
        parse_root(whole[0], files.location)
        return {ROOT_DOCUMENT: whole[0], ROOT_COPY: whole[0], **child_documents(whole[0])}
    if copies == [None, None]:
        raise no_store(files)
    # a lone zarr.json may belong to something else, and parse_root says so
    if copies[1] is None and copies[0] is not None:
        parse_root(copies[0], files.location)
    raise DamagedStore(
        f"{files.location} is damaged beyond repair: neither {ROOT_DOCUMENT} nor {ROOT_COPY} is "
        "whole",
        key=ROOT_DOCUMENT,
    )


def sound_facts(files: Files) -> StoreFacts:
    """Read what a store is from an undamaged copy of the root.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore: both copies are damaged.
        ValueError: it is something else, or has a later format.
    """
    return parse_root(sound_documents(files)[ROOT_DOCUMENT], files.location)

"""Write a data card for people and a Croissant record for machines."""

import json
import re
import uuid
from pathlib import Path, PurePosixPath

from inrgen.core.config_fields import expand_home
from inrgen.exchange.card.croissant import croissant_document
from inrgen.exchange.card.facts import read_card_facts
from inrgen.exchange.card.text import MARK, Wording, card_text, card_title, summarise
from inrgen.store.files.local import LocalFiles
from inrgen.store.files.location import Location, is_remote
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.layout import PAGE, ROOT_DOCUMENT
from inrgen.store.reader import Store

_CARD, _RECORD = "README.md", "croissant.json"


def write_card(
    store: Store, out: Location | None = None, wording: Wording | None = None
) -> tuple[str, str]:
    """Write README.md, as the Hugging Face hub reads it, and croissant.json; gives their places.

    Reads every fact from the store, so a card cannot disagree with its data.

    Args:
        out: None for the store itself; else a folder that holds the store. For a store on a
            server any folder does, and the card is written as if the store lay in it.

    Raises:
        ValueError: out is elsewhere, the root of the file system or the user's home.
        FileExistsError: out has a README.md that is no card of ours.
    """
    wording, (files, inside) = wording or Wording(), _find_place(store, out)
    # a location's options follow "?", and a card names none
    where = files.location.partition("?")[0].rstrip("/")
    if files.size_bytes(_CARD) is not None and MARK.encode() not in files.read(_CARD):
        raise FileExistsError(
            f"{where}/{_CARD} is no card of inrgen's; move it before a card is written"
        )
    facts, own = read_card_facts(store), open_files(store.path)
    document = croissant_document(
        name=re.sub(r"[^\w.-]+", "-", card_title(facts, wording)).strip("-"),
        description=summarise(facts),
        schema=store.records.schema,
        folder=inside,
        root_document=own.read(ROOT_DOCUMENT),
        license=wording.license,
    )
    record = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    card = card_text(facts, wording, inside, own.size_bytes(PAGE) is not None)
    for name, text in {_CARD: card, _RECORD: record}.items():
        # a killed put may leave half a file, but a move replaces the old card at once
        staged = f"_{name}.{uuid.uuid4().hex}"
        files.put(staged, text.encode())
        files.move(staged, name)
    return f"{where}/{_CARD}", f"{where}/{_RECORD}"


def _find_place(store: Store, out: Location | None) -> tuple[Files, PurePosixPath]:
    """The folder that a card goes into, and the store relative to it."""
    if out is None or str(out) == store.path:
        return open_files(store.path), PurePosixPath(".")
    if is_remote(out):
        raise ValueError(f"out must be a folder, or the store itself; got {out}")
    folder = expand_home(out)
    # Every store lies below these two, and a card in them would speak for all else there.
    if folder.resolve() in (Path("/").resolve(), Path.home()):
        raise ValueError(f"out must be a folder of this data set's alone; got {out}")
    if is_remote(store.path):
        folder.mkdir(parents=True, exist_ok=True)
        return LocalFiles(folder), PurePosixPath(".")
    try:
        inside = Path(store.path).resolve().relative_to(folder.resolve())
    except ValueError:
        raise ValueError(
            "out must be the store's folder or one that holds it, so that the card's paths stay "
            f"right wherever both go; got {out} for the store {store.path}"
        ) from None
    return LocalFiles(folder), PurePosixPath(inside.as_posix())

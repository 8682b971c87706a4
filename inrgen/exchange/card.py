"""A data card for people and a Croissant record for machines, from the store's own facts."""

import json
import re
from pathlib import Path, PurePosixPath

from inrgen.exchange.card_facts import read_card_facts
from inrgen.exchange.card_text import MARK, Wording, card_text, summary_of, title_of
from inrgen.exchange.croissant import croissant_document
from inrgen.store.layout import ROOT_DOCUMENT
from inrgen.store.reader import Store


def _relative(store: Path, out: Path) -> PurePosixPath:
    """The store as seen from out."""
    try:
        return PurePosixPath(store.resolve().relative_to(out.resolve()).as_posix())
    except ValueError:
        raise ValueError(
            "out must be the store's folder or one that holds it, so that the card's paths stay "
            f"right wherever both go; got {out} for the store {store}"
        ) from None


def write_card(store: Store, out: str | Path, wording: Wording | None = None) -> tuple[Path, Path]:
    """Write README.md, as Hugging Face's hub reads it, and croissant.json, and say where they are.

    All that they state is read from the store, so a card cannot disagree with its data.

    Args:
        out: the store's own folder, or one that holds it.

    Raises:
        ValueError: out is elsewhere.
        FileExistsError: out has a README.md that is no card of ours.
    """
    wording, folder, root = wording or Wording(), Path(out), Path(store.path)
    inside = _relative(root, folder)
    readme, record = folder / "README.md", folder / "croissant.json"
    if readme.exists() and MARK not in readme.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(f"{readme} is no card of inrgen's; move it before a card is written")
    facts = read_card_facts(store)
    document = croissant_document(
        name=re.sub(r"[^\w.-]+", "-", title_of(facts, wording)).strip("-"),
        description=summary_of(facts),
        schema=store.records.schema,
        folder=inside,
        root_document=(root / ROOT_DOCUMENT).read_bytes(),
        license=wording.license,
    )
    readme.write_text(card_text(facts, wording, inside), encoding="utf-8")
    record.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return readme, record

"""Write a store's data card and its Croissant record."""

from dataclasses import dataclass

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.core.summary import Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class CardConfig:
    """Write README.md, as the Hugging Face hub reads it, and croissant.json from a store's facts.

    Attributes:
        store: the store's folder, or its URL.
        out: folder to write into: by default the store itself, else a folder that holds it. For a
            store on a server any folder does, and the card is written as if the store lay in it.
        title: name of the data set; by default its source and networks.
        license: an SPDX name such as mit; by default the card says that it is not stated.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: StoreArgument | None = None
    title: str | None = None
    license: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CardSummary(Summary):
    """Places of the card and of the record."""

    card: str
    croissant: str

    def text(self) -> str:
        """Both places, a line each."""
        return f"card: {self.card}\ncroissant: {self.croissant}"


def card(config: CardConfig) -> CardSummary:
    """Write both files. Raises ValueError or FileExistsError if out cannot take them."""
    from inrgen.exchange.card.text import Wording
    from inrgen.exchange.card.writing import write_card
    from inrgen.store.reader import open_store

    wording = Wording(title=config.title, license=config.license)
    readme, croissant = write_card(open_store(config.store), config.out, wording)
    return CardSummary(card=readme, croissant=croissant)

"""Write a store's data card and its Croissant record."""

from dataclasses import asdict, dataclass
from typing import Any

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.exchange.card.text import Wording
from inrgen.exchange.card.write import write_card
from inrgen.store.reader import open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class CardConfig:
    """Write README.md in Hugging Face's style and croissant.json, from the store's own facts.

    Attributes:
        store: the store's folder, or its URL.
        out: where they go: into the store, by default, wherever that is; or a folder that holds
            it; or any folder for a store on a server, as if the store lay there.
        title: how the data set is called; by default after its source and networks.
        license: an SPDX name such as mit; by default it is left to be stated.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: StoreArgument | None = None
    title: str | None = None
    license: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CardSummary:
    """Where the card and the record are."""

    card: str
    croissant: str

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """A line each."""
        return f"card: {self.card}\ncroissant: {self.croissant}"

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def card(config: CardConfig) -> CardSummary:
    """Write both. Raises ValueError or FileExistsError where out cannot take them."""
    wording = Wording(title=config.title, license=config.license)
    readme, croissant = write_card(open_store(config.store), config.out, wording)
    return CardSummary(card=readme, croissant=croissant)

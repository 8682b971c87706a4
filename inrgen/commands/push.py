"""`inrgen push`: publish a store on the Hugging Face hub."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from inrgen.core.arguments import StoreArgument

if TYPE_CHECKING:
    from inrgen.exchange.hub import PushSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class PushConfig:
    """Publish a finished store as a data set on the Hugging Face hub, with its card, in one commit.

    Needs huggingface_hub (pip install 'inrgen[hub]') and a token with the right to write, in
    HF_TOKEN or from `hf auth login`. Everybody who may read the data set can then open it as
    hf://datasets/USER/NAME, wherever a store is asked for.

    Attributes:
        store: the store's folder.
        to: hf:USER/NAME; the data set is made if it does not exist.
        private: make a new data set private.
        title: name of the data set on its card; by default its source and networks.
        license: an SPDX name such as mit; by default the card says that it is not stated.
    """

    store: tyro.conf.Positional[StoreArgument]
    to: str
    private: bool = False
    title: str | None = None
    license: str | None = None


def push(config: PushConfig) -> "PushSummary":
    """Publish a store; raises what exchange.push_store raises."""
    from inrgen.exchange.card.text import Wording
    from inrgen.exchange.hub import push_store
    from inrgen.store.reader import open_store

    wording = Wording(title=config.title, license=config.license)
    return push_store(open_store(config.store), config.to, wording, config.private)

"""The formats there are, by name."""

from typing import Literal

from inrgen.exchange.formats.base import Format
from inrgen.exchange.formats.dws import Dws
from inrgen.exchange.formats.dws_multiview import DwsMultiview
from inrgen.exchange.formats.fit_a_nef import FitANef
from inrgen.exchange.formats.huggingface import HuggingFace
from inrgen.exchange.formats.inr2vec import Inr2Vec
from inrgen.exchange.formats.neural_graphs import NeuralGraphs
from inrgen.exchange.formats.nfn import Nfn
from inrgen.exchange.formats.safetensors_shards import Safetensors
from inrgen.exchange.formats.scalegmn import ScaleGmn

FormatName = Literal[
    "dws-multiview",
    "dws",
    "neural-graphs",
    "scalegmn",
    "nfn",
    "fit-a-nef",
    "inr2vec",
    "safetensors",
    "huggingface",
]


def format_named(name: FormatName) -> Format:
    """The format of a name."""
    formats: dict[str, Format] = {
        "dws-multiview": DwsMultiview(),
        "dws": Dws(),
        "neural-graphs": NeuralGraphs(),
        "scalegmn": ScaleGmn(),
        "nfn": Nfn(),
        "fit-a-nef": FitANef(),
        "inr2vec": Inr2Vec(),
        "safetensors": Safetensors(),
        "huggingface": HuggingFace(),
    }
    if name not in formats:
        raise ValueError(f"format must be one of {', '.join(formats)}; got {name!r}")
    return formats[name]

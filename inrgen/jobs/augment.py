"""Materialise random changes: several changed copies of every row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.spec import InrSpec
from inrgen.jobs.change import BoundOperation, Names
from inrgen.jobs.draw_bytes import encode_draw, is_small
from inrgen.store.derivation import ByteRows
from inrgen.transforms.chain import Chain
from inrgen.transforms.named import Link, keeps_function, make_chain, read_links
from inrgen.transforms.rows import BoundTransform, bind

OPERATION = "augment"
# Of the parameters: how many augmentations the parent has behind it.
_EARLIER = "earlier_augmentations"


def augment_keys(names: Names, seed: int, copies: int, earlier: int = 0) -> Int[Tensor, " d"]:
    """The name of each copy's randomness: (seed, "augment", item, view of the parent, copy).

    The second augmentation of a row draws by another word than the first, and so on: by the same
    one it would repeat a noise, or undo a flip.
    """
    operation = f"{OPERATION} after {earlier}" if earlier else OPERATION
    each = [rng.keys(seed, operation, names.items, names.views, copy) for copy in range(copies)]
    return torch.stack(each, dim=1).flatten()


def augment_parameters(links: Sequence[Link], seed: int, earlier: int = 0) -> dict[str, Any]:
    """What an augmented store notes of how it was made.

    earlier: augmentations among the ancestors. Noted where there are any: a store that notes none
        was made by names without them, and goes on as it was begun.
    """
    noted = {"chain": [link.to_dict() for link in links], "seed": seed}
    return {**noted, _EARLIER: earlier} if earlier else noted


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Augment:
    """Copies of each row, each under a draw of its own."""

    spec: InrSpec
    links: tuple[Link, ...]
    seed: int
    copies: int
    earlier: int

    @staticmethod
    def of(spec: InrSpec, parameters: dict[str, Any], copies: int) -> "Augment":
        """The change that augment_parameters tells of.

        Raises ValueError for parameters that only a later inrgen knows.
        """
        unknown = sorted(parameters.keys() - {"chain", "seed", _EARLIER})
        if unknown:
            raise ValueError(f"augment needs parameters that this inrgen knows; got {unknown}")
        return Augment(
            spec=spec,
            links=read_links(parameters["chain"]),
            seed=parameters["seed"],
            copies=copies,
            earlier=parameters.get(_EARLIER, 0),
        )

    @property
    def chain(self) -> Chain:
        return make_chain(self.links)

    @property
    def keeps_function(self) -> bool:
        return keeps_function(self.links)

    def over(self, names: Names) -> BoundOperation:
        """Draws are made for the whole run at once, unless they are large beside its weights."""
        keys, chain = augment_keys(names, self.seed, self.copies, self.earlier), self.chain
        at_once = self._at_once(keys) if is_small(chain, self.spec) else None

        def change(
            flat: Float32[np.ndarray, "r p"], part: slice, out: Float32[np.ndarray, "d p"]
        ) -> ByteRows:
            rows = slice(part.start * self.copies, part.stop * self.copies)
            if self.copies > 1:
                flat = np.repeat(flat, self.copies, axis=0)
            if at_once is not None:
                apply, texts = at_once
                apply(flat, rows, out)
                return texts.rows(rows)
            apply, texts = self._at_once(keys[rows])
            apply(flat, slice(0, len(flat)), out)
            return texts

        return change

    def _at_once(self, keys: Int[Tensor, " d"]) -> tuple[BoundTransform, ByteRows]:
        """The chain under draws made of keys, and those draws as bytes."""
        draw = self.chain.draw(self.spec, keys)
        ready = bind(self.chain, self.spec, draw)
        return ready, encode_draw(self.chain, self.spec, draw, keys)

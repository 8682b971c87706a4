"""Pairs of INRs that a page interpolates between, with the symmetries that align them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int16

from inrgen.core.activations import ODD
from inrgen.core.config import Kind, thorough
from inrgen.core.matching import match
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.sources.listing import Report, report_nothing

_MAX_PAIRS = 1000
# A wide network takes a second a pair.
_PAIRS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Partners:
    """Pairs of places on a page, and for each kind of matching the move of the second INR.

    Attributes:
        pairs: places of the first and the second INR among those with weights.
        moves: for each kind, hidden units of all hidden layers: position i takes unit abs(m) - 1,
            negated where m is negative. (pairs, units)
    """

    pairs: list[tuple[int, int]]
    moves: dict[Kind, Int16[np.ndarray, "n u"]]


def choose_partners(records: list[dict]) -> list[tuple[int, int]]:
    """For each INR the next view of its item, and another item, of the same class if there is one.

    Args:
        records: the page's records that hold weights, in order.
    """
    pairs = []
    for place, record in enumerate(records):
        later = [*range(place + 1, len(records)), *range(place)]
        same_item = [p for p in later if records[p]["item_id"] == record["item_id"]]
        others = [p for p in later if records[p]["item_id"] != record["item_id"]]
        alike = [p for p in others if record["label"] == records[p]["label"] >= 0]
        pairs += [(place, group[0]) for group in (same_item, alike or others) if group]
    if len(pairs) <= _MAX_PAIRS:
        return pairs
    return [pairs[i] for i in np.linspace(0, len(pairs) - 1, _MAX_PAIRS).round().astype(int)]


def align_partners(
    spec: InrSpec, params: Params, pairs: list[tuple[int, int]], report: Report = report_nothing
) -> Partners:
    """Find the permutation, and the permutation and signs, that bring each second INR nearest.

    Args:
        params: the INRs of the page, in order.
        report: gets the number of pairs aligned so far.
    """
    kinds: list[Kind] = ["permutation"]
    if spec.activation in ODD:
        kinds.append("signed")
    moves: dict[Kind, np.ndarray] = {}
    first, second = (params[list(places)] for places in zip(*pairs, strict=True))
    for kind in kinds:
        parts = []
        for low in range(0, len(pairs), _PAIRS_AT_ONCE):
            rows = slice(low, low + _PAIRS_AT_ONCE)
            # a pair's name keeps its restarts the same, whatever is matched with it
            names = torch.arange(len(pairs))[rows]
            found = match(spec, first[rows], second[rows], thorough(kind), names=names).symmetry
            layers = zip(found.permutations, found.signs, strict=True)
            parts.append(torch.cat([(order + 1) * sign for order, sign in layers], dim=1))
            report(f"of {len(pairs):,} pairs aligned ({kind})", low + len(names))
        moves[kind] = torch.cat(parts).numpy().astype(np.int16)
    return Partners(pairs=pairs, moves=moves)

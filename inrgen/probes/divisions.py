"""Which INRs a probe learns from, chooses by and is judged on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.splits import SPLITS, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """Places among all INRs, each in one part at most."""

    train: Int[Tensor, " t"]
    val: Int[Tensor, " v"]
    test: Int[Tensor, " j"]

    def keep(self, good: Bool[Tensor, " b"]) -> "Division":
        """Without the INRs that are not good."""
        return Division(
            train=self.train[good[self.train]],
            val=self.val[good[self.val]],
            test=self.test[good[self.test]],
        )

    @property
    def is_whole(self) -> bool:
        """Whether no part is empty."""
        return all(map(len, (self.train, self.val, self.test)))


def by_split(splits: Sequence[Split]) -> tuple[Division, ...]:
    """The one division that the source's own splits make."""
    train, val, test = (
        torch.tensor([at for at, split in enumerate(splits) if split == name], dtype=torch.int64)
        for name in SPLITS
    )
    return (Division(train=train, val=val, test=test),)


def by_folds(
    labels: Int[Tensor, " b"], hashes: Int[Tensor, " b"], num_folds: int, seed: int
) -> tuple[Division, ...]:
    """Cross-validation: each INR is judged once, by what is learned from others.

    Each class is dealt out to the folds in an order that the items' names and the seed decide. A
    fold is judged, every other item of each class of the next one chooses, and the rest teaches.

    Args:
        hashes: of the items' ids.
    """
    key = rng.keys(seed, "fold", hashes, torch.zeros_like(hashes))
    place = torch.zeros_like(labels)
    for label in labels.unique():
        of = (labels == label).nonzero()[:, 0]
        place[of[key[of].argsort()]] = torch.arange(len(of))
    fold, turn = place % num_folds, place // num_folds
    divisions = []
    for number in range(num_folds):
        test = fold == number
        val = (fold == (number + 1) % num_folds) & (turn % 2 == 0)
        parts = (~test & ~val, val, test)
        train_at, val_at, test_at = (part.nonzero()[:, 0] for part in parts)
        divisions.append(Division(train=train_at, val=val_at, test=test_at))
    return tuple(divisions)

"""Guidance by labels: a small classifier whose gradients reach starts and step sizes.

It reads how far the inner steps moved an INR from its start, and its cross entropy is added to the
error of the reconstruction (MWT, arXiv 2503.18123). It only teaches; a START does not hold it.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inrgen.core import rng
from inrgen.core.spec import InrSpec
from inrgen.sources.base import Source

_HIDDEN = 256
# Inner steps move a weight by about this much.
_UNIT = 1e-2


def read_labels(source: Source) -> Int[Tensor, " i"]:
    """Class numbers of all items.

    Raises ValueError for an item without one, and for items of validation or test, whose labels
    must shape no start.
    """
    if any(item.split != "train" for item in source.items):
        raise ValueError("guide labels reads those of training items alone; the source gave others")
    labels = torch.tensor([item.label for item in source.items])
    missing = int((labels < 0).sum())
    if missing:
        raise ValueError(
            f"guide labels needs a label for every training item; {source.facts.name} lacks "
            f"{missing:,}"
        )
    return labels


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelGuide:
    """A classifier with one hidden layer for each start, as a flat row of r numbers.

    Attributes:
        num_params: parameters of an INR.
        num_classes: classes of the training items.
        weight: factor of its cross entropy beside the mean squared error.
    """

    num_params: int
    num_classes: int
    weight: float

    @property
    def _sizes(self) -> tuple[int, ...]:
        """Numbers of both layers' weights and biases."""
        hidden, classes = _HIDDEN, self.num_classes
        return hidden * self.num_params, hidden, classes * hidden, classes

    def first_readers(self, seed: int, num_starts: int) -> Float[Tensor, "k r"]:
        """The classifiers before the first outer step, drawn as torch draws linear layers."""
        views = torch.arange(num_starts)
        keys = rng.keys(seed, "learn start reader", torch.zeros_like(views), views)
        drawn = rng.uniform(keys, (sum(self._sizes),), -1.0, 1.0)
        bounds = [1 / math.sqrt(self.num_params)] * 2 + [1 / math.sqrt(_HIDDEN)] * 2
        parts = drawn.split(self._sizes, dim=1)
        return torch.cat([b * part for b, part in zip(bounds, parts, strict=True)], dim=1)

    def loss(
        self,
        readers: Float[Tensor, "k r"],
        starts: Float[Tensor, "k p"],
        fitted: Float[Tensor, "b p"],
        labels: Int[Tensor, "k m"] | None,
    ) -> Float[Tensor, "k m"]:
        """Weighted cross entropy of m INRs of each start.

        Args:
            fitted: their weights, b = k * m.
            labels: their class numbers.
        """
        assert labels is not None, "guided items have labels"
        moved = fitted.unflatten(0, labels.shape) - starts[:, None]
        first, first_bias, last, last_bias = readers.split(self._sizes, dim=1)
        weight = first.unflatten(1, (_HIDDEN, self.num_params))
        hidden = torch.baddbmm(first_bias[:, None], moved / _UNIT, weight.mT)
        weight = last.unflatten(1, (self.num_classes, _HIDDEN))
        logits = torch.baddbmm(last_bias[:, None], nn.functional.gelu(hidden), weight.mT)
        entropy = nn.functional.cross_entropy(logits.mT, labels, reduction="none")
        return self.weight * entropy


def make_guide(spec: InrSpec, labels: Int[Tensor, " i"], weight: float) -> LabelGuide:
    """The guide for INRs of spec and the classes that training labels name."""
    return LabelGuide(num_params=spec.num_params, num_classes=int(labels.max()) + 1, weight=weight)

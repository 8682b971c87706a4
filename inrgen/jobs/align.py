"""Align every row to a template, or each item's views to its first one."""

from dataclasses import asdict, dataclass, fields
from functools import reduce
from operator import add
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.matching import MatchConfig, match, squared_distance
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.template import ROUNDS, aligned_sum, medoid
from inrgen.jobs.change import BoundOperation, Names
from inrgen.jobs.draw_bytes import encode_tensors
from inrgen.store.derivation import ByteRows
from inrgen.transforms.rows import to_tensor

OPERATION = "align"
PAIRS = "pairs"
# The medoid costs the square of its candidates in matchings.
_MEDOID_OF = 24
# Numbers of a sample that are aligned together: a few MB, whatever the sample's size.
_NUMBERS_AT_ONCE = 524_288


def align_parameters(to: str, config: MatchConfig, sample: dict[str, Any]) -> dict[str, Any]:
    """What an aligned store notes of how it was made; sample says what a template was made of.

    The opening is noted unless it is the identity, which is all there was once: so a store of that
    time goes on where it was.
    """
    noted = asdict(config)
    if config.opening == "identity":
        del noted["opening"]
    return {"to": to, "match": noted, "template": sample}


def match_config(noted: dict[str, Any]) -> MatchConfig:
    """The search that align_parameters noted, from JSON.

    Raises ValueError for parameters that only a later inrgen knows.
    """
    unknown = sorted(noted.keys() - {field.name for field in fields(MatchConfig)})
    if unknown:
        raise ValueError(f"match needs parameters that this inrgen knows; got {unknown}")
    order = tuple(tuple(layers) for layers in noted["order"])
    return MatchConfig(**{"opening": "identity", **noted, "order": order})


def sample_rows(rows: Int[np.ndarray, " r"], seed: int, most: int) -> Int[np.ndarray, " s"]:
    """At most so many of some rows, chosen by their numbers and the seed alone; in order."""
    if len(rows) <= most:
        return np.sort(rows)
    keys = rng.keys(seed, "template", torch.from_numpy(rows)).numpy()
    return np.sort(rows[np.argsort(keys, kind="stable")[:most]])


def make_template(spec: InrSpec, params: Params, to: str, config: MatchConfig) -> Params:
    """A template of one INR.

    Args:
        params: a sample of finite INRs.
        to: "medoid" takes that of the first few; "mean" the iterated mean that starts there, so
            that an odd INR does not decide it.
    """
    few, names = params[:_MEDOID_OF], torch.arange(len(params))
    at = int(medoid(spec, few, config, names[:_MEDOID_OF]))
    template = few[at : at + 1]
    if to == "medoid":
        return template
    step = max(1, _NUMBERS_AT_ONCE // spec.num_params)
    parts = [slice(start, start + step) for start in range(0, len(params), step)]
    for _ in range(ROUNDS):
        sums = [aligned_sum(spec, template, params[part], config, names[part]) for part in parts]
        template = reduce(add, sums).mean()
    return template


def first_views(params: Params, views: int) -> Params:
    """For each row the first finite one of its item's views; itself where none is."""
    finite = params.flat().isfinite().all(dim=1).reshape(-1, views)
    first = finite.long().argmax(dim=1) + torch.arange(len(finite)) * views
    return params[first.repeat_interleave(views)]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Align:
    """Each row carried nearest to its reference by a symmetry, which is its draw.

    template: one INR for all rows; None aligns each item's views to its first one.
    """

    spec: InrSpec
    config: MatchConfig
    views: int
    template: Params | None

    @staticmethod
    def of(
        spec: InrSpec, parameters: dict[str, Any], views: int, template: Params | None
    ) -> "Align":
        """The change that align_parameters tells of."""
        config = match_config(parameters["match"])
        return Align(spec=spec, config=config, views=views, template=template)

    @property
    def keeps_function(self) -> bool:
        return True

    def reference(self, params: Params) -> Params:
        """What the rows of whole items are carried nearest to: one INR, or one for each."""
        return first_views(params, self.views) if self.template is None else self.template

    def over(self, names: Names) -> BoundOperation:
        """The symmetry follows from the weights, and restarts of its search from the names."""
        called = rng.fold(names.items, names.views)

        def change(
            flat: Float32[np.ndarray, "r p"], part: slice, out: Float32[np.ndarray, "d p"]
        ) -> ByteRows:
            params = Params.from_flat(self.spec, to_tensor(flat))
            reference = self.reference(params)
            found = match(self.spec, reference, params, self.config, names=called[part])
            found.aligned.flat(out=torch.from_numpy(out))
            return encode_tensors(found.symmetry)

        return change

    def distances(self, params: Params, aligned: Params) -> Float[Tensor, "2 r"]:
        """Squared distances from the reference before and after, in float64."""
        reference = self.reference(params)
        return torch.stack([squared_distance(reference, p) for p in (params, aligned)])

"""Operations on rows: alignment and augmentation, as a store records them. They know no files."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.config import MatchConfig
from inrgen.core.matching import match, squared_distance
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.jobs.draw_bytes import encode_draw, encode_tensors, is_small
from inrgen.store.derivation import TEMPLATE, ByteRows, Derivation
from inrgen.store.errors import recorded_facts
from inrgen.store.metadata import StoreFacts
from inrgen.transforms.chain import Chain
from inrgen.transforms.named import Link, keeps_function, make_chain, read_links
from inrgen.transforms.rows import BoundTransform, bind, to_tensor

ALIGN, AUGMENT = "align", "augment"
# Parameter of an augmentation: the number of augmentations among the parent and its ancestors.
_EARLIER = "earlier_augmentations"


@dataclass(frozen=True, kw_only=True, slots=True)
class RowNames:
    """Names of rows, from which their randomness follows: hashed item ids and views, (r,) each."""

    items: Int[Tensor, " r"]
    views: Int[Tensor, " r"]


class BoundOperation(Protocol):
    """An operation on a run of rows, with every choice made that needs no weights."""

    def __call__(
        self, flat: Float32[np.ndarray, "r p"], part: slice, out: Float32[np.ndarray, "d p"]
    ) -> ByteRows:
        """Fill out with the new rows of a part of the run, and return the draw of each as bytes.

        Rows that are not finite stay not finite.

        Args:
            flat: the rows of that part; their memory may be read-only.
            part: the place of these rows in the run.
            out: memory to fill; all copies of a row lie together.
        """
        ...


def align_parameters(
    template: str, search: MatchConfig, template_facts: dict[str, Any]
) -> dict[str, Any]:
    """The parameters of an alignment as a store records them.

    Stores of earlier versions record no opening and mean the identity. So the identity is left
    out, and such a store can be resumed.

    Args:
        template_facts: the rows that the template was made from.
    """
    recorded = asdict(search)
    if search.opening == "identity":
        del recorded["opening"]
    return {"to": template, "match": recorded, "template": template_facts}


def read_search(recorded: dict[str, Any]) -> MatchConfig:
    """The search that align_parameters recorded, from JSON.

    Raises ValueError for parameters of a later version.
    """
    unknown = sorted(recorded.keys() - {field.name for field in fields(MatchConfig)})
    if unknown:
        raise ValueError(f"match needs parameters that this version knows; got {unknown}")
    order = tuple(tuple(layers) for layers in recorded["order"])
    return MatchConfig(**{"opening": "identity", **recorded, "order": order})


def record_templates(templates: dict[str, Params]) -> dict[str, Any]:
    """Templates by spec_id as a store records them, so that no resumption makes other ones."""
    texts = {
        spec_id: base64.b64encode(template.flat().numpy().astype("<f4").tobytes()).decode()
        for spec_id, template in templates.items()
    }
    return {TEMPLATE: texts} if texts else {}


def read_template(about: dict[str, Any], spec: InrSpec) -> Params | None:
    """The recorded template of one spec, or None."""
    text = about.get(TEMPLATE, {}).get(spec.spec_id)
    if text is None:
        return None
    # Bytes are little-endian on every machine; torch wants the native order.
    numbers = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    return Params.from_flat(spec, torch.from_numpy(numbers)[None])


def first_views(params: Params, views: int) -> Params:
    """For each row the first finite view of its item, or the row itself if no view is finite."""
    finite = params.flat().isfinite().all(dim=1).reshape(-1, views)
    # argmax returns the first of equal values: the first finite view.
    first = finite.long().argmax(dim=1) + torch.arange(len(finite)) * views
    return params[first.repeat_interleave(views)]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Align:
    """Carry each row nearest to its reference by a symmetry, which is its draw.

    Attributes:
        search: the search for the symmetry.
        views: views of an item.
        template: one INR for all rows; None aligns each item's views to its first one.
    """

    spec: InrSpec
    search: MatchConfig
    views: int
    template: Params | None

    @property
    def keeps_function(self) -> bool:
        """Tell whether new rows compute the same functions as old ones."""
        return True

    def reference(self, params: Params) -> Params:
        """The reference: an INR for all rows, or one for each row of whole items."""
        return first_views(params, self.views) if self.template is None else self.template

    def bind(self, names: RowNames) -> BoundOperation:
        """Bind to rows. Names decide the restarts of a search; weights decide the symmetry."""
        # With names, a row's restarts are the same in any cut of the rows into parts.
        called = rng.fold(names.items, names.views)

        def change(
            flat: Float32[np.ndarray, "r p"], part: slice, out: Float32[np.ndarray, "d p"]
        ) -> ByteRows:
            params = Params.from_flat(self.spec, to_tensor(flat))
            reference = self.reference(params)
            found = match(self.spec, reference, params, self.search, names=called[part])
            found.aligned.flat(out=torch.from_numpy(out))
            return encode_tensors(found.symmetry)

        return change

    def distances(self, params: Params, aligned: Params) -> Float[Tensor, "2 r"]:
        """Squared distances from the reference before and after alignment, in float64."""
        reference = self.reference(params)
        return torch.stack([squared_distance(reference, p) for p in (params, aligned)])


def augment_keys(names: RowNames, seed: int, copies: int, earlier: int = 0) -> Int[Tensor, " d"]:
    """Keys of the copies of each row, from (seed, "augment", item, view of the parent, copy).

    Each further augmentation of a row uses another word than "augment". The same word would
    repeat a noise, or take a flip back.
    """
    operation = f"{AUGMENT} after {earlier}" if earlier else AUGMENT
    each = [rng.keys(seed, operation, names.items, names.views, copy) for copy in range(copies)]
    return torch.stack(each, dim=1).flatten()


def augment_parameters(links: Sequence[Link], seed: int, earlier: int = 0) -> dict[str, Any]:
    """The parameters of an augmentation as a store records them.

    Args:
        earlier: augmentations among the parent and its ancestors. Zero is not recorded, because
            stores of earlier versions, which did not count them, must resume as they began.
    """
    recorded = {"chain": [link.to_dict() for link in links], "seed": seed}
    return {**recorded, _EARLIER: earlier} if earlier else recorded


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Augment:
    """Make copies of each row, each by its own draw."""

    spec: InrSpec
    links: tuple[Link, ...]
    seed: int
    copies: int
    earlier: int

    @staticmethod
    def from_parameters(spec: InrSpec, parameters: dict[str, Any], copies: int) -> "Augment":
        """The operation that augment_parameters recorded.

        Raises ValueError for parameters of a later version.
        """
        unknown = sorted(parameters.keys() - {"chain", "seed", _EARLIER})
        if unknown:
            raise ValueError(f"augment needs parameters that this version knows; got {unknown}")
        return Augment(
            spec=spec,
            links=read_links(parameters["chain"]),
            seed=parameters["seed"],
            copies=copies,
            earlier=parameters.get(_EARLIER, 0),
        )

    @property
    def chain(self) -> Chain:
        """The transforms as one."""
        return make_chain(self.links)

    @property
    def keeps_function(self) -> bool:
        """Tell whether new rows compute the same functions as old ones."""
        return keeps_function(self.links)

    def bind(self, names: RowNames) -> BoundOperation:
        """Bind to rows. Draws are made for the whole run, unless they outweigh its weights."""
        keys, chain = augment_keys(names, self.seed, self.copies, self.earlier), self.chain
        # Noise for a whole run would take as much memory as its weights.
        whole = self._draw(keys) if is_small(chain, self.spec) else None

        def change(
            flat: Float32[np.ndarray, "r p"], part: slice, out: Float32[np.ndarray, "d p"]
        ) -> ByteRows:
            rows = slice(part.start * self.copies, part.stop * self.copies)
            if self.copies > 1:
                flat = np.repeat(flat, self.copies, axis=0)
            if whole is not None:
                apply, texts = whole
                apply(flat, rows, out)
                return texts.rows(rows)
            apply, texts = self._draw(keys[rows])
            apply(flat, slice(0, len(flat)), out)
            return texts

        return change

    def _draw(self, keys: Int[Tensor, " d"]) -> tuple[BoundTransform, ByteRows]:
        """The chain bound to draws from keys, and those draws as bytes."""
        draw = self.chain.draw(self.spec, keys)
        return bind(self.chain, self.spec, draw), encode_draw(self.chain, self.spec, draw, keys)


@recorded_facts("the operation")
def read_operation(facts: StoreFacts, spec_id: str) -> tuple[Align | Augment, Derivation]:
    """The operation that a derived store records, for the rows of one spec.

    Raises ValueError for an operation that is not made here.
    """
    done, spec = facts.derivation, facts.specs[spec_id]
    assert done is not None, "tasks are of derived stores"
    if done.operation == AUGMENT:
        return Augment.from_parameters(spec, done.parameters, done.copies), done
    if done.operation == ALIGN:
        operation = Align(
            spec=spec,
            search=read_search(done.parameters["match"]),
            views=facts.layouts[spec_id].views,
            template=read_template(facts.about, spec),
        )
        return operation, done
    raise ValueError(
        f"operation must be align or augment; only the program that made {done.operation!r} can "
        "make it again"
    )

"""Templates that another store has: that of its alignment, or one of its rows."""

import hashlib
import json
from dataclasses import dataclass

from inrgen.core.config import MatchConfig, thorough
from inrgen.core.params import Params
from inrgen.jobs.operations import ALIGN, read_search, read_template, record_templates
from inrgen.store.derivation import TEMPLATE
from inrgen.store.files.opening import open_files
from inrgen.store.metadata import read_facts
from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store, open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTemplate:
    """Templates of another store, by spec_id.

    Attributes:
        search: the search of that store's alignment, which every store of the template shares.
        facts: digests that an alignment records of the template.
    """

    templates: dict[str, Params]
    search: MatchConfig
    facts: dict[str, str]


def _digest(templates: dict[str, Params]) -> str:
    """Digest of the bytes of templates, whatever store they were found in."""
    return hashlib.sha256(
        json.dumps(record_templates(templates)[TEMPLATE], sort_keys=True).encode()
    ).hexdigest()


def find_template(store: Store, place: str, row: int | None, search: MatchConfig) -> FoundTemplate:
    """Find the template that another store has for the networks of a store.

    Rows of all stores that share a template, and its search, lie near each other. So they share
    the alignment's digest, which the first of them has.

    Args:
        store: the store to align.
        place: the location of the other store.
        row: a row of the other store; None takes the template of its alignment.
        search: the search that was asked for. The other store's takes the place of the default.

    Raises ValueError if there is no such store or row, it lacks the networks of the store, it was
    not aligned to a template, or another search than its own was asked for.
    """
    try:
        other = open_store(place)
    except FileNotFoundError:
        raise ValueError(
            "template must be mean, medoid, pairs, a row's number, an aligned store or STORE:ROW; "
            f"there is no store {place}"
        ) from None
    missing = sorted(store.specs.keys() - other.specs.keys())
    if missing:
        raise ValueError(
            f"template needs the networks of the store; {place} has none of {', '.join(missing)}"
        )
    if row is not None:
        for spec_id in store.specs:
            read_usable_records(other, [row], spec_id, [])
        found = {spec_id: other.read([row], spec_id) for spec_id in store.specs}
        return FoundTemplate(templates=found, search=search, facts={"sha256": _digest(found)})
    step = other.derivation
    if step is None or step.operation != ALIGN:
        # Stores derived from an aligned one do not repeat its template.
        raise ValueError(
            f"template must be an aligned store, or STORE:ROW; {place} was not aligned"
        )
    about = read_facts(open_files(place)).about
    if TEMPLATE not in about:
        raise ValueError(f"template must be one INR; {place} aligned pairs of views")
    own_search = read_search(step.parameters["match"])
    if search not in (own_search, thorough("signed")):
        raise ValueError(
            f"match, init and restarts must be those of {place} ({own_search.kind}, "
            f"{own_search.opening} and {own_search.restarts}), or be left out"
        )
    found = {}
    for spec_id, spec in store.specs.items():
        template = read_template(about, spec)
        assert template is not None, "an alignment records a template of each architecture"
        found[spec_id] = template
    facts = {"sha256": _digest(found), "alignment_sha256": other.alignment_sha256}
    return FoundTemplate(templates=found, search=own_search, facts=facts)

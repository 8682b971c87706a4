"""Trace a store back to the images or meshes that it was fitted to."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from inrgen.core.escape import one_line
from inrgen.store.content import content_sha256, has_grown_from
from inrgen.store.derivation import PARENT, read_derivation
from inrgen.store.files.location import resolve_relative
from inrgen.store.reader import Store

Found = Literal["itself", "same", "grown", "other content", "not found", "cannot be read"]

_WORDS: dict[Found, str] = {
    "itself": "this store",
    "same": "found, with the same content",
    "grown": "found; it has grown since, and its rows of then are the same",
    "other content": "the store there has other content",
    "not found": "not found there",
    "cannot be read": "it is there, but cannot be read in full",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LineageStep:
    """A store on the way back to the source.

    Attributes:
        path: its location when the next store was made from it; it may have moved.
        content_sha256: its identity, whatever its path; "" if unknown.
        operation: align or augment; build for the first.
        how: settings that decided its result.
    """

    path: str
    found: Found
    content_sha256: str
    operation: str
    how: dict[str, Any]

    def text(self) -> str:
        """Return the step as one line."""
        settings = ", ".join(f"{key} {json.dumps(value)}" for key, value in self.how.items())
        digest = f"; content {self.content_sha256[:16]}" if self.content_sha256 else ""
        step = f"{self.path} ({_WORDS[self.found]}{digest}): {self.operation}: {settings}"
        return one_line(step)


def _start_facts(recorded: dict[str, Any]) -> dict[str, Any]:
    """Facts of a learned start; nothing is known of the JSON that a foreign store holds here."""
    facts = recorded.get("facts")
    return facts if isinstance(facts, dict) else {}


def is_guided_by_labels(recorded: dict[str, Any]) -> bool:
    """Return whether training labels shaped a learned start, as a store records it."""
    return _start_facts(recorded).get("guide") == "labels"


def describe_start(recorded: dict[str, Any]) -> str:
    """Describe a learned start, as a store records it, in a phrase."""
    source = _start_facts(recorded).get("source")
    name = source.get("name") if isinstance(source, dict) else None
    said = [f"digest {str(recorded.get('sha256'))[:16]}"]
    said += [f"learned on {name}"] if name else []
    said += [f"for {recorded['inner_steps']} steps"] if "inner_steps" in recorded else []
    if is_guided_by_labels(recorded):
        # A reader who compares accuracies has to know this.
        said.append("with training labels")
    return one_line(", ".join(said))


def _explain(identity: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the operation that made a store of this identity, and its settings."""
    made = read_derivation(identity)
    if made is not None:
        return made.operation, {"copies": made.copies, **made.parameters}
    named = ("source", "items", "recipe", "engine", "seed", "views", "min_psnr_db")
    how = {name: identity[name] for name in named if identity.get(name) is not None}
    if isinstance(identity.get("start"), dict):
        how["start"] = describe_start(identity["start"])
    return ("build", how) if "source" in how else ("made elsewhere", how or identity)


def _search(path: str, expected: str) -> Found:
    """Look for the store of an expected content at a path."""
    try:
        there = content_sha256(path)
    except FileNotFoundError:
        return "not found"
    except (ValueError, OSError):
        return "cannot be read"
    if there == expected:
        return "same"
    return "grown" if has_grown_from(path, expected) else "other content"


def walk_back(store: Store) -> list[LineageStep]:
    """Return the store, its parent, and so on to the store that was built from a source.

    Every store records what all its ancestors were, so the walk is complete even if they are lost.
    """
    # an unfinished store has no content digest yet
    try:
        own = content_sha256(store.path)
    except ValueError:
        own = ""
    operation, how = _explain(store.identity)
    first = LineageStep(
        path=store.path, found="itself", content_sha256=own, operation=operation, how=how
    )
    steps, identity, parent, path = [first], store.identity, store.parent_metadata, store.path
    while parent is not None:
        made = read_derivation(identity)
        assert made is not None, "only derived stores record a parent"
        # each store recorded its parent as seen from itself
        path = resolve_relative(path, parent["path"])
        identity = parent["identity"]
        operation, how = _explain(identity)
        steps.append(
            LineageStep(
                path=path,
                found=_search(path, made.parent_sha256),
                content_sha256=made.parent_sha256,
                operation=operation,
                how=how,
            )
        )
        parent = parent["about"].get(PARENT)
    return steps

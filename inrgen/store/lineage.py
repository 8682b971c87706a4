"""Walk a store back to the images or meshes that it came of."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from inrgen.store.content import content_sha256
from inrgen.store.derivation import PARENT, read_derivation
from inrgen.store.files.location import followed
from inrgen.store.reader import Store

Found = Literal["itself", "same", "other content", "not found", "cannot be read"]

_WORDS: dict[Found, str] = {
    "itself": "this store",
    "same": "found, and its content is the same",
    "other content": "a store is there, and its content is another",
    "not found": "not found there",
    "cannot be read": "it is there and cannot be read in full",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LineageStep:
    """One store on the way back, the youngest first.

    path: where it was when the next one was made of it: a hint. content_sha256 is what tells it,
        "" where it is not known.
    operation: align, augment, or build for the first.
    how: what decided its result.
    """

    path: str
    found: Found
    content_sha256: str
    operation: str
    how: dict[str, Any]

    def text(self) -> str:
        """The step as a line."""
        said = ", ".join(f"{key} {json.dumps(value)}" for key, value in self.how.items())
        digest = f"; content {self.content_sha256[:16]}" if self.content_sha256 else ""
        return f"{self.path} ({_WORDS[self.found]}{digest}): {self.operation}: {said}"


def _how(identity: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The operation that made a store of this identity, and what decided its result."""
    done = read_derivation(identity)
    if done is not None:
        return done.operation, {"copies": done.copies, **done.parameters}
    named = ("source", "items", "recipe", "engine", "seed", "views", "min_psnr_db")
    how = {name: identity[name] for name in named if identity.get(name) is not None}
    return ("build", how) if "source" in how else ("made elsewhere", how or identity)


def _look(path: str, expected: str) -> Found:
    """Whether the store of that content is where it is said to be."""
    try:
        there = content_sha256(path)
    except FileNotFoundError:
        return "not found"
    except (ValueError, OSError):
        return "cannot be read"
    return "same" if there == expected else "other content"


def walk_back(store: Store) -> list[LineageStep]:
    """The store, its parent, and so on to the one that was built of a source.

    Every store notes all that its ancestors were, so this is whole even where they are lost.
    """
    try:
        own = content_sha256(store.path)
    except ValueError:
        own = ""
    operation, how = _how(store.identity)
    here = LineageStep(
        path=store.path, found="itself", content_sha256=own, operation=operation, how=how
    )
    steps, identity, noted, path = [here], store.identity, store.parent_metadata, store.path
    while noted is not None:
        done = read_derivation(identity)
        assert done is not None, "only derived stores note a parent"
        path = followed(path, noted["path"])
        identity = noted["identity"]
        operation, how = _how(identity)
        steps.append(
            LineageStep(
                path=path,
                found=_look(path, done.parent_sha256),
                content_sha256=done.parent_sha256,
                operation=operation,
                how=how,
            )
        )
        noted = noted["about"].get(PARENT)
    return steps

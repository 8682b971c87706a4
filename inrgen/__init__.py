"""Make, store and serve data sets of implicit neural representations."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inrgen.core.params import Params as Params
    from inrgen.core.spec import InrSpec as InrSpec
    from inrgen.loaders.stream import StreamLoader as StreamLoader
    from inrgen.store.reader import open_store as open_store

# Imported when they are asked for: `import inrgen` must not wait for torch.
_HOMES = {
    "InrSpec": "inrgen.core.spec",
    "Params": "inrgen.core.params",
    "StreamLoader": "inrgen.loaders.stream",
    "open_store": "inrgen.store.reader",
}

__all__ = ["InrSpec", "Params", "StreamLoader", "open_store"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

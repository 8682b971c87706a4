"""The build verb: fit every view of every item of a source into a store."""

import sys
from typing import TYPE_CHECKING

from inrgen.core.escape import one_line
from inrgen.fit.build_config import BuildConfig

if TYPE_CHECKING:
    from inrgen.fit.build import BuildSummary
    from inrgen.fit.plan import OwnRecipe
    from inrgen.sources.base import Source

__all__ = ["BuildConfig", "build"]


def build(
    config: BuildConfig, given: "Source | None" = None, own: "OwnRecipe | None" = None
) -> "BuildSummary":
    """Build a store, or resume one that an earlier run of the same build left unfinished.

    Args:
        given: the source itself, where it is an object that config.source only names.
        own: networks and fit in place of the recipe's.

    Raises:
        ValueError: the source, the recipe or the store on disk does not fit this build.
        OSError: the store cannot be written.
    """
    # Imports alone take seconds, in which a person wants to know what has begun.
    sys.stderr.write(f"build: reading {one_line(config.source.name)}\n")
    sys.stderr.flush()
    # A command line's help must not wait for torch.
    from inrgen.fit.build import build_store

    return build_store(config, given, own)

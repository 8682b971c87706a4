"""Moved to inrgen.core.config."""

from inrgen.core.config import SPLITS as SPLITS
from inrgen.core.config import Split as Split

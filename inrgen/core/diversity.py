"""Moved to inrgen.core.metrics."""

from inrgen.core.metrics import DiversityRow as DiversityRow
from inrgen.core.metrics import measure_diversity as measure_diversity

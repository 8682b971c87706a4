"""Moved to inrgen.core.geometry."""

from inrgen.core.geometry import grid_coords as grid_coords
from inrgen.core.geometry import noted_grid as noted_grid

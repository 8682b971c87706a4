"""Moved to inrgen.core.mixing."""

from inrgen.core.mixing import add_noise as add_noise
from inrgen.core.mixing import drop as drop
from inrgen.core.mixing import drop_below_quantile as drop_below_quantile

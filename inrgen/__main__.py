"""`python -m inrgen` is the same as `inrgen`."""

import sys

from inrgen.cli import main

sys.exit(main())

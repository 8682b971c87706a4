"""Networks that read the weights of INRs, one family a file, written from their papers.

catalog.py lists the families, and parse_model and make_model build a network from its text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

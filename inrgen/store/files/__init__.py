"""Files of a store: one protocol for local folders and for servers that speak S3.

Everything above this package reads and writes through Files, so that a store obeys the same
commit protocol wherever it lies. Opening a local store never imports the S3 client.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Stores: weights as Zarr arrays, with one Arrow record for every row.

Only this package knows Zarr, and it decides which bytes are on disk. README.md describes the
format completely. `open_store(path)` reads; `create_store`, `stage_block` and `StoreWriter` write;
`verify_store` checks every document, weight and record. Files lie in a folder or on a server
(inrgen.store.files).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Fitting: turn signals into INR weights, view by view, by recipes and engines.

`build_store(BuildConfig(...))` makes a store. `recipe` and `make_engine` serve those who fit
batches themselves.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

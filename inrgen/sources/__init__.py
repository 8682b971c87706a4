"""Sources: signals in, from images, shapes, arrays and objects of your own.

A source lists items in a fixed order and loads the signal of each. `open_source(SourceConfig(...))`
opens one by name; an item that cannot be read raises BadSignal with a reason for its record.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

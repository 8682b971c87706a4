"""Other people's formats, data cards and Croissant records: stores out, foreign weights in.

README.md in this folder lists the formats and the conventions that are converted.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

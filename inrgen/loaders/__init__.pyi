from .collate import Batch as Batch
from .config import LoaderConfig as LoaderConfig
from .stream import StreamLoader as StreamLoader

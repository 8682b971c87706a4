from .collate import Batch as Batch
from .config import LoaderConfig as LoaderConfig
from .map_style import WeightDataset as WeightDataset
from .stream import StreamLoader as StreamLoader

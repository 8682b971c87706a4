from .cache import ShardCache as ShardCache
from .location import Location as Location
from .opening import open_files as open_files
from .protocol import Files as Files

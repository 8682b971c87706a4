from .location import Location as Location
from .opening import open_files as open_files

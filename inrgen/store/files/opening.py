"""Open the files of a store: in a local folder, or below a prefix of a bucket."""

from pathlib import Path

from inrgen.store.files.local import LocalFiles
from inrgen.store.files.location import Location, is_remote, parse_bucket
from inrgen.store.files.protocol import Files


def open_files(location: Location) -> Files:
    """Return the files of the store at a location, which need not exist yet.

    Raises:
        ValueError: the location is a URL, but not the URL of a store.
        NotADirectoryError: the location is a file.
    """
    if is_remote(location):
        # obstore is slow to import, and most stores are folders
        from inrgen.store.files.s3 import ObjectFiles

        return ObjectFiles(str(location), parse_bucket(location))
    root = Path(location).absolute()
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"a store is a folder, and {location} is a file")
    return LocalFiles(root)

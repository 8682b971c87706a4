"""Open the files of a store: in a local folder, in a bucket, or on the Hugging Face hub."""

from pathlib import Path

from inrgen.store.files.local import LocalFiles
from inrgen.store.files.location import (
    HubDataset,
    Location,
    is_remote,
    make_absolute,
    parse_url,
)
from inrgen.store.files.protocol import Files


def open_files(location: Location) -> Files:
    """Return the files of the store at a location, which need not exist yet.

    Raises:
        ValueError: the location is a URL, but not the URL of a store.
        NotADirectoryError: the location is a file.
    """
    if is_remote(location):
        parsed = parse_url(location)
        # obstore and huggingface_hub are slow to import, and most stores are folders
        if isinstance(parsed, HubDataset):
            from inrgen.store.files.hub import HubFiles

            return HubFiles(str(location), parsed)
        from inrgen.store.files.s3 import ObjectFiles

        return ObjectFiles(str(location), parsed)
    root = Path(make_absolute(location))
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"a store is a folder, and {location} is a file")
    return LocalFiles(root)

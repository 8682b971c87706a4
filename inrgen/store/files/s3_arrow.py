"""An object store's files as pyarrow sees them."""

from typing import Any

import pyarrow as pa
import pyarrow.fs

from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.seal import read_seal

# Fetches of a file whose seal is broken: one that was damaged on its way is whole the next time.
_MAX_FETCHES = 2


class _Handler(pyarrow.fs.FileSystemHandler):
    """Reading alone: files are fetched whole and their seals checked before pyarrow sees them.

    Fetching parts would be less, but Parquet's footer has no checksum of its own, and a wrong
    footer can leave rows out without a word. The largest are index files, of 1,000 blocks each.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handler) and other._files.where == self._files.where

    def __hash__(self) -> int:
        return hash(self._files.where)

    def _fetch(self, path: str) -> bytes:
        data = b""
        for _ in range(_MAX_FETCHES):
            data = self._files.read(path)
            if read_seal(data) is not None:
                return data
        raise DamagedStore(
            f"{self._files.where} is damaged: {path} does not match its own digest", key=path
        )

    def get_type_name(self) -> str:
        return "inrgen-objects"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pyarrow.fs.FileInfo]:
        found = [(path, self._files.size_bytes(path)) for path in paths]
        kinds = pyarrow.fs.FileType
        return [
            pyarrow.fs.FileInfo(path, kinds.NotFound)
            if size is None
            else pyarrow.fs.FileInfo(path, kinds.File, size=size)
            for path, size in found
        ]

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.BufferReader(self._fetch(path))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def _refuse(self, *arguments: Any, **named: Any) -> Any:
        raise NotImplementedError("pyarrow only reads a store's files")

    get_file_info_selector = _refuse
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse


def arrow_files(files: Files) -> pyarrow.fs.FileSystem:
    """The files by the same keys."""
    return pyarrow.fs.PyFileSystem(_Handler(files))

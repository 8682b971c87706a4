"""Read-only access to a store's files for pyarrow, on servers that pyarrow does not know."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.fs

from inrgen.store.digests import read_self_checksum
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files

# Fetches of a file with a wrong self-checksum; one damaged in transit is whole the next time.
_MAX_FETCHES = 2


def arrow_reader(
    files: Files, read: Callable[[str], bytes | memoryview] | None = None
) -> pyarrow.fs.FileSystem:
    """A pyarrow file system over files; it gets whole files with verified self-checksums.

    Args:
        read: reads a file by its key; by default files.read.
    """
    return pyarrow.fs.PyFileSystem(_ArrowHandler(files, read or files.read))


class _ArrowHandler(pyarrow.fs.FileSystemHandler):
    def __init__(self, files: Files, read: Callable[[str], bytes | memoryview]) -> None:
        self._files, self._read = files, read

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ArrowHandler) and other._files.location == self._files.location

    def __hash__(self) -> int:
        return hash(self._files.location)

    def get_type_name(self) -> str:
        return "inrgen-files"

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
        # Parts would be fewer bytes, but the footer of a Parquet file has no checksum, and a wrong
        # footer can drop rows silently. The largest files are index files of 1,000 blocks.
        for _ in range(_MAX_FETCHES):
            data = self._read(path)
            if read_self_checksum(data) is not None:
                return pa.BufferReader(data)
        raise DamagedStore(
            f"{self._files.location} is damaged: {path} does not match its self-checksum", key=path
        )

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def _refuse(self, *arguments: Any, **named: Any) -> Any:
        raise NotImplementedError("pyarrow only reads the files of a store")

    get_file_info_selector = _refuse
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse

"""Files of a store in a data set of the Hugging Face hub, read-only and of one commit.

huggingface_hub downloads each file once and keeps it by content below HF_HOME, where it is mapped
like a local file. It finds the server and the token as all its users do (HF_ENDPOINT, HF_TOKEN).
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow.fs
from jaxtyping import UInt8

from inrgen.store.files.arrow_reader import arrow_reader
from inrgen.store.files.local import LocalFiles
from inrgen.store.files.location import HubDataset
from inrgen.store.files.protocol import Bytes, FileIdentity, Files

try:
    import huggingface_hub
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,  # noqa: F401 - for who writes to the hub
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]
        RepositoryNotFoundError,
    )
except ModuleNotFoundError as error:
    raise ValueError(
        "stores on the Hugging Face hub need huggingface_hub: pip install 'inrgen[hub]'"
    ) from error


@contextmanager
def reached_hub(location: str) -> Iterator[None]:
    """Turn failures of the network into OSError, with a sentence.

    Answers of the hub are OSError already. Errors of the library's HTTP client are not; that is
    httpx or httpx2, by version, so its class is imported from where the library takes it.
    """
    try:
        yield
    except HTTPError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(f"{location}: the hub does not answer: {error}") from error


class HubFiles:
    """A store in a data set of the hub."""

    def __init__(self, location: str, dataset: HubDataset) -> None:
        self._location, self._dataset = location, dataset

    @cached_property
    def _commit(self) -> str:
        """The commit that all reads take, so that a push in between cannot mix two versions."""
        repo_id = self._dataset.repo_id
        try:
            with reached_hub(self._location):
                api = HfApi()
                info = api.dataset_info(repo_id, revision=self._dataset.revision)
        except RepositoryNotFoundError as error:
            raise OSError(
                f"{self._location}: the hub has no data set {repo_id}, or hides it without a token "
                "of its owner (HF_TOKEN)"
            ) from error
        if info.sha is None:
            raise OSError(f"{self._location}: the hub did not say which commit it serves")
        return info.sha

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Length of every file of the store, by key; a listing costs a request a thousand files."""
        found = HfApi().list_repo_tree(
            self._dataset.repo_id,
            self._dataset.prefix or None,
            recursive=True,
            revision=self._commit,
            repo_type="dataset",
        )
        try:
            with reached_hub(self._location):
                files = [entry for entry in found if isinstance(entry, huggingface_hub.RepoFile)]
        except EntryNotFoundError:
            files = []
        start = len(self._dataset.prefix) + 1 if self._dataset.prefix else 0
        return {entry.path[start:]: entry.size for entry in files}

    def _fetch(self, key: str) -> tuple[LocalFiles, str]:
        """The folder and name of a file's local copy."""
        name = f"{self._dataset.prefix}/{key}" if self._dataset.prefix else key
        try:
            with reached_hub(self._location):
                path = huggingface_hub.hf_hub_download(
                    self._dataset.repo_id, name, repo_type="dataset", revision=self._commit
                )
        except EntryNotFoundError as error:
            raise FileNotFoundError(f"{self._location} has no file {key}") from error
        return LocalFiles(Path(path).parent), Path(path).name

    @property
    def location(self) -> str:
        return self._location

    @property
    def max_maps(self) -> int:
        return LocalFiles(Path()).max_maps

    def read(self, key: str) -> bytes:
        files, name = self._fetch(key)
        return files.read(name)

    def read_range(self, key: str, start: int, stop: int) -> tuple[bytes, str]:
        files, name = self._fetch(key)
        return files.read_range(name, start, stop)

    def size_bytes(self, key: str) -> int | None:
        return self._sizes.get(key)

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        files, name = self._fetch(key)
        return files.map(name)

    def identity(self, key: str) -> FileIdentity | None:
        files, name = self._fetch(key)
        return files.identity(name)

    def top_names(self) -> set[str]:
        return {key.partition("/")[0] for key in self._sizes}

    def names(self, folder: str) -> list[str]:
        inside = (key.rpartition("/") for key in self._sizes)
        return sorted(name for parent, _, name in inside if parent == folder)

    def tags(self, folder: str) -> dict[str, str]:
        return dict.fromkeys(self.names(folder), self._commit)

    def all_keys(self) -> Iterator[str]:
        return (key for key in self._sizes if not key.startswith("_"))

    def is_tidy(self) -> bool:
        # A commit never changes.
        return True

    def arrow(self) -> pyarrow.fs.FileSystem:
        return arrow_reader(self)

    def _refuse(self) -> NoReturn:
        raise io.UnsupportedOperation(
            f"{self._location}: stores on the hub are read-only; write to a folder and push it "
            "(inrgen push)"
        )

    @property
    def max_commits(self) -> int:
        return 1

    def prepare(self) -> None:
        self._refuse()

    def lock(self) -> AbstractContextManager[Files]:
        self._refuse()

    def put(self, key: str, data: Bytes) -> None:
        self._refuse()

    def create(self, key: str, data: Bytes) -> bool:
        self._refuse()

    def move(self, source: str, target: str) -> None:
        self._refuse()

    def remove(self, key: str) -> None:
        self._refuse()

    def erase(self, keys: Sequence[str]) -> None:
        self._refuse()

    def tidy(self) -> None:
        self._refuse()

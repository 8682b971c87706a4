"""Publish a store as a data set on the Hugging Face hub, with its card."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inrgen.core.summary import Summary
from inrgen.exchange.card.text import Wording
from inrgen.exchange.card.writing import write_card
from inrgen.store.files.location import HubDataset, is_remote, parse_url
from inrgen.store.reader import Store

if TYPE_CHECKING:
    from inrgen.store.files.hub import HfApi


@dataclass(frozen=True, kw_only=True, slots=True)
class PushSummary(Summary):
    """A pushed store: its page, its commit, and the URL by which it is read."""

    page: str
    commit: str
    url: str
    num_files: int
    num_bytes: int

    def text(self) -> str:
        """The summary in two lines."""
        return (
            f"{self.page}: {self.num_files:,} files, {self.num_bytes:,} B, commit {self.commit}\n"
            f'read it anywhere: inrgen.open_store("{self.url}")'
        )


def parse_repo(text: str) -> str:
    """USER/NAME of hf:USER/NAME, hf://datasets/USER/NAME or USER/NAME.

    Raises ValueError for other text, and for a revision or a folder, which no push may choose.
    """
    plain = re.sub(r"^(hf://datasets/|hf:)", "", text)
    try:
        found = parse_url(f"hf://datasets/{plain}")
    except ValueError as error:
        raise ValueError(f"to must be hf:USER/NAME; got {text!r}") from error
    if not isinstance(found, HubDataset) or found.repo_id != plain:
        raise ValueError(f"to must be hf:USER/NAME, without revision or folder; got {text!r}")
    return found.repo_id


def _upload(api: "HfApi", folder: Path, to: str, message: str, private: bool) -> str:
    """Make a folder the whole content of a data set, in one commit, and return the commit.

    Raises OSError if the hub does not answer or refuses.
    """
    from inrgen.store.files.hub import HfHubHTTPError, reached_hub

    repo_id = parse_repo(to)
    try:
        with reached_hub(to):
            api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                repo_type="dataset",
                folder_path=folder,
                commit_message=message,
                # Locks and work in progress are this machine's.
                ignore_patterns=["_*"],
                # Shards of an earlier version would be strangers in this one.
                delete_patterns=["*"],
            )
    except HfHubHTTPError as error:
        # The library's own text has several lines.
        raise OSError(f"{to}: the hub refuses: {' '.join(str(error).split())}") from error
    return commit.oid


def push_store(
    store: Store, to: str, wording: Wording | None = None, private: bool = False
) -> PushSummary:
    """Write the store's card into it, and upload the store as the whole data set, in one commit.

    Readers see the old version or the new one, never a mixture. A push that was stopped begins
    again, without the large files that the hub has already.

    Args:
        store: a finished store in a folder.
        to: hf:USER/NAME; made if it does not exist.
        private: make it private if it is new.

    Raises:
        ValueError: the store is unfinished or not in a folder, or huggingface_hub is missing.
        OSError: the hub refuses, such as without a token (HF_TOKEN).
    """
    repo_id = parse_repo(to)
    if is_remote(store.path):
        raise ValueError(f"a push needs a store in a folder; got {store.path}")
    owed = sum(
        layout.rows - store.num_committed_rows(spec_id) for spec_id, layout in store.layouts.items()
    )
    if owed:
        raise ValueError(
            f"{store.path} is unfinished, {owed:,} rows to go; finish it before a push"
        )
    # huggingface_hub is an extra, which this module names where it is missing.
    from inrgen.store.files.hub import HfApi

    write_card(store, None, wording)
    folder, api = Path(store.path), HfApi()
    commit = _upload(
        api, folder, to, f"Store {store.spec.architecture} of {store.source_name}", private
    )
    sizes = [
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith("_")
    ]
    return PushSummary(
        page=f"{api.endpoint}/datasets/{repo_id}",
        commit=commit,
        url=f"hf://datasets/{repo_id}",
        num_files=len(sizes),
        num_bytes=sum(sizes),
    )

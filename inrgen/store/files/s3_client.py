"""Clients of a server that speaks S3: how long they try, and what their errors become."""

import errno
import os
import random
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from inrgen.store.errors import ServerFailed
from inrgen.store.files.location import Bucket

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

Answer = TypeVar("Answer")

# A request that fails is sent again, after a random share of a time that doubles, until it has
# been tried for so long: servers are started anew within it. One that never answered is more likely
# named wrong, and is tried so often alone, which takes seconds.
_PATIENCE_S = 60.0
_MAX_RETRIES = 12
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 8.0
# One request: the whole of it, and how long a read may go without a byte.
_REQUEST_S = 60.0
_STALL_S = 10.0

# Who has no credentials is sent to the machine's role, which only machines of a cloud have.
_ROLE_SERVER = "169.254.169.254"

# What a client says when its own tries are over though another may do better: the body of a listing
# or a refusal broke off, or no answer came at all, or the server had enough to do. And what it says
# of a server that knows no such request, mostly one on condition.
_BROKEN_OFF = "HTTP error: request or response body"
_UNANSWERED = "HTTP error: error sending request"
_UNKNOWN = "status code: 501"
_OVERBURDENED = re.compile(r"status code: (429|500|502|503|504)\b")

_user: int | None = None
# Whether any server answered this process.
_answered = False


def make_client(place: Bucket, *, writes: bool) -> S3Store:
    """A client of a bucket's prefix.

    writes: whether it is to upload, when a long time without a byte from the server is as it
        should be.
    """
    config: S3Config = {}
    if place.endpoint:
        config["endpoint"] = place.endpoint
    if place.region:
        config["region"] = place.region
    if place.anonymous:
        config["skip_signature"] = True
    # plain HTTP is used where the endpoint says so, and nowhere else
    options: ClientConfig = {"allow_http": True, "timeout": timedelta(seconds=_REQUEST_S)}
    if not writes:
        options["read_timeout"] = timedelta(seconds=_STALL_S)
    return S3Store(
        place.bucket,
        prefix=place.prefix,
        config=config,
        client_options=options,
        retry_config={
            "max_retries": _MAX_RETRIES,
            "retry_timeout": timedelta(seconds=_PATIENCE_S),
            "backoff": {
                "init_backoff": timedelta(seconds=_FIRST_WAIT_S),
                "max_backoff": timedelta(seconds=_LONGEST_WAIT_S),
                "base": 2,
            },
        },
    )


def _check_process() -> None:
    """Refuse a process forked from one that used a client: its requests would wait for ever."""
    global _user
    if _user is None:
        _user = os.getpid()
    elif _user != os.getpid():
        raise OSError(
            "a store on a server cannot be used in a process that was forked from one that used "
            "it; have workers spawned: DataLoader(..., multiprocessing_context='spawn')"
        )


def _first_lines(error: Exception) -> str:
    """What a client's error says, less its own data structures."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())


def _is_passing(error: Exception) -> bool:
    """Whether an error is one that another try may do without, some time later."""
    said = str(error)
    return isinstance(error, GenericError) and (
        _BROKEN_OFF in said
        or (_UNANSWERED in said and _answered)
        or _OVERBURDENED.search(said) is not None
    )


def _translated(name: str, error: Exception, tried_s: float) -> OSError:
    """What a client's error is to whoever uses the store."""
    said = str(error)
    if "<Code>NoSuchBucket</Code>" in said:
        return OSError(f"{name}: there is no such bucket on the server")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object, or no such bucket", name)
    if _ROLE_SERVER in said:
        return PermissionError(
            f"{name}: there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or say ?anonymous=true for a public bucket"
        )
    if _UNKNOWN in said:
        return OSError(
            f"{name}: the server lacks what stores are written by; they can be read there at "
            f"most: {_first_lines(error)}"
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return PermissionError(f"{name}: the server refuses it: {_first_lines(error)}")
    return ServerFailed(f"{name}: {_first_lines(error)} (tried for {tried_s:.0f} s in all)")


def ask(name: str, call: Callable[[], Answer]) -> Answer:
    """What a client's call gives, its errors as OSError that say the name.

    AlreadyExistsError and PreconditionError pass, as they are answers.
    """
    global _answered
    _check_process()
    began, wait = time.monotonic(), _FIRST_WAIT_S
    while True:
        try:
            answer = call()
        except (AlreadyExistsError, PreconditionError):
            raise
        except (BaseError, FileNotFoundError) as error:
            tried_s = time.monotonic() - began
            if tried_s + wait > _PATIENCE_S or not _is_passing(error):
                raise _translated(name, error, tried_s) from error
        else:
            _answered = True
            return answer
        # waits need not be the same again, and must not be the same for all
        time.sleep(random.uniform(0, wait))
        wait = min(2 * wait, _LONGEST_WAIT_S)

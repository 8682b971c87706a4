"""Clients of S3 servers: how long they retry, and how their errors read."""

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
from inrgen.store.files.aws_profile import profile_credentials
from inrgen.store.files.location import Bucket

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

Answer = TypeVar("Answer")

# A failed request is sent again after a random share of a doubling wait, for _PATIENCE_S in all:
# a server can restart within that time. A server that never answered is more likely misnamed, so
# it gets the client's own retries only, which take seconds.
_PATIENCE_S = 60.0
_MAX_RETRIES = 12
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 8.0
# Limits for one request: its whole duration, and the time that a read may go without a byte.
_REQUEST_S = 60.0
_STALL_S = 10.0

# Clients without credentials ask for the machine's role here; only cloud machines have one.
_ROLE_SERVER = "169.254.169.254"

# Texts of errors that another try may avoid once the client's own retries are used up: the body of
# a listing or refusal broke off, a listing is no XML of its kind, no answer came, or the server was
# overloaded.
_BROKEN_OFF = "HTTP error: request or response body"
_GARBLED = "Got invalid list response"
_UNANSWERED = "HTTP error: error sending request"
_OVERLOADED = re.compile(r"status code: (429|500|502|503|504)\b")
# The server does not implement a request, mostly a conditional one.
_UNKNOWN = "status code: 501"

_user: int | None = None
# Whether any server has answered this process.
_answered = False


def make_client(bucket: Bucket, *, writes: bool) -> S3Store:
    """Make a client for the prefix of a bucket.

    Args:
        writes: whether it will upload. An upload waits long without a byte from the server, so
            such a client has no limit on stalls.

    Raises what profile_credentials raises.
    """
    config: S3Config = {}
    if bucket.endpoint:
        config["endpoint"] = bucket.endpoint
    if bucket.region:
        config["region"] = bucket.region
    if bucket.anonymous:
        config["skip_signature"] = True
    # plain HTTP is used only if the endpoint's URL says http
    options: ClientConfig = {"allow_http": True, "timeout": timedelta(seconds=_REQUEST_S)}
    if not writes:
        options["read_timeout"] = timedelta(seconds=_STALL_S)
    found = None if bucket.anonymous else profile_credentials(f"s3://{bucket.bucket}")
    return S3Store(
        bucket.bucket,
        prefix=bucket.prefix,
        credential_provider=found,
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
    """Refuse a process forked from one that used a client; its requests would hang forever."""
    global _user
    # obstore's runtime threads do not survive a fork
    if _user is None:
        _user = os.getpid()
    elif _user != os.getpid():
        raise OSError(
            "a store on a server cannot be used in a process that was forked from one that used "
            "it; have workers spawned: DataLoader(..., multiprocessing_context='spawn')"
        )


def _shorten(error: Exception) -> str:
    """Return the text of a client's error without its dump of internal structures."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())


def _may_pass(error: Exception) -> bool:
    """Tell whether the same request may succeed some time later."""
    text = str(error)
    return isinstance(error, GenericError) and (
        _BROKEN_OFF in text
        or _GARBLED in text
        or (_UNANSWERED in text and _answered)
        or _OVERLOADED.search(text) is not None
    )


def _translate(name: str, error: Exception, tried_s: float) -> OSError:
    """Turn a client's error into one that tells the user what to do."""
    text = str(error)
    if "<Code>NoSuchBucket</Code>" in text:
        return OSError(f"{name}: there is no such bucket on the server")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object, or no such bucket", name)
    if _ROLE_SERVER in text:
        return PermissionError(
            f"{name}: there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE, or add ?anonymous=true for a public bucket"
        )
    if _UNKNOWN in text:
        return OSError(
            f"{name}: the server lacks a request that writing needs; stores can be read there at "
            f"most: {_shorten(error)}"
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return PermissionError(f"{name}: the server refuses access: {_shorten(error)}")
    return ServerFailed(f"{name}: {_shorten(error)} (tried for {tried_s:.0f} s in all)")


def request(name: str, call: Callable[[], Answer]) -> Answer:
    """Return the result of a client's call; raise its errors as OSError that name the object.

    AlreadyExistsError and PreconditionError pass through, because they are answers.
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
            if tried_s + wait > _PATIENCE_S or not _may_pass(error):
                raise _translate(name, error, tried_s) from error
        else:
            _answered = True
            return answer
        # random, so that many clients do not all retry at the same moment
        time.sleep(random.uniform(0, wait))
        wait = min(2 * wait, _LONGEST_WAIT_S)

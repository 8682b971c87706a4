"""Credentials of AWS profiles, found as boto3 and the AWS command line find them."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider

# How long credentials are used before boto3 is asked again, which renews those that expire.
_RENEWED_AFTER = timedelta(minutes=5)


def _may_have_profile() -> bool:
    """Tell whether credentials may come from a profile; variables with keys come before any."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return False
    places = {
        "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
        "AWS_CONFIG_FILE": "~/.aws/config",
    }
    files = [os.environ.get(name, usual) for name, usual in places.items()]
    return "AWS_PROFILE" in os.environ or any(Path(file).expanduser().is_file() for file in files)


def profile_credentials(name: str) -> "Boto3CredentialProvider | None":
    """Return the credentials and region of AWS_PROFILE, or of the default profile.

    None leaves it to the client, which knows the AWS variables and the machine's role.

    Args:
        name: what is opened, for messages.

    Raises ValueError if boto3 is missing, and PermissionError if there is no such profile, or none
    of its credentials.
    """
    if not _may_have_profile():
        return None
    profile = os.environ.get("AWS_PROFILE")
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ModuleNotFoundError as error:
        if profile is None:
            return None
        raise ValueError(
            f"{name}: AWS_PROFILE ({profile}) needs boto3: pip install 'inrgen[aws]'"
        ) from error
    try:
        session = boto3.Session()
        if profile is None and session.get_credentials() is None:
            return None
        return Boto3CredentialProvider(session, ttl=_RENEWED_AFTER)
    except (BotoCoreError, ValueError) as error:
        raise PermissionError(
            f"{name}: the AWS profile {profile or 'default'} gives no credentials: {error}"
        ) from error

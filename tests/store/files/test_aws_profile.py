"""Profiles of AWS are used as boto3 uses them: after keys in variables, before the role."""

import builtins

import pytest

from inrgen.store.files.aws_profile import profile_credentials
from inrgen.store.reader import open_store

_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    """Files with a default profile, and one named lab; no variable says more."""
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    secrets, config = tmp_path / "credentials", tmp_path / "config"
    secrets.write_text(
        "[default]\naws_access_key_id = usual\naws_secret_access_key = s\n"
        "[lab]\naws_access_key_id = ours\naws_secret_access_key = s\n"
    )
    config.write_text("[profile lab]\nregion = eu-north-1\n[profile bare]\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(secrets))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    return secrets


def test_the_profile_named_is_used_and_else_the_default(profiles, monkeypatch):
    found = profile_credentials("s3://b")
    assert found is not None
    assert found()["access_key_id"] == "usual"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    found = profile_credentials("s3://b")
    assert found is not None
    assert (found()["access_key_id"], found.config) == ("ours", {"region": "eu-north-1"})


def test_keys_in_variables_come_first(profiles, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    assert profile_credentials("s3://b") is None


def test_without_profiles_the_client_asks_for_a_role(profiles, monkeypatch, tmp_path):
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    assert profile_credentials("s3://b") is None


@pytest.mark.parametrize("profile", ["bare", "nobody"])
def test_a_profile_without_credentials_is_named(profiles, monkeypatch, profile):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_PROFILE", profile)
    with pytest.raises(PermissionError, match=f"s3://b: the AWS profile {profile} gives no"):
        profile_credentials("s3://b")


def test_a_named_profile_without_boto3_says_what_to_install(profiles, monkeypatch):
    found = builtins.__import__

    def without_boto3(name, *args, **kwargs):
        if name.startswith("boto3"):
            raise ModuleNotFoundError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_boto3)
    assert profile_credentials("s3://b") is None
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(ValueError, match=r"AWS_PROFILE \(lab\) needs boto3: pip install"):
        profile_credentials("s3://b")


def test_a_store_is_written_and_read_with_a_profile(
    profiles, monkeypatch, bucket_url, small_sample
):
    monkeypatch.setenv("AWS_PROFILE", "lab")
    small_sample.build(bucket_url)
    assert len(open_store(bucket_url)) == small_sample.layout.rows

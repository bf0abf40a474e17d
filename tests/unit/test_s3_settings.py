"""What may stand in s3_buckets, and that its secrets show nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.config import load_settings
from jobu_core.config.secrets import redactor_of
from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def configured(root: Path, text: str) -> None:
    """Write handlers.yaml."""
    (root / "config").mkdir(exist_ok=True)
    (root / "config" / "handlers.yaml").write_text(text)


def test_a_bucket_stands_beside_the_handlers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets come from the environment, and a prefix loses the slash at its end."""
    monkeypatch.setenv("LAKE_SECRET", "hunter2hunter2")
    configured(
        tmp_path,
        "handlers: {}\n"
        "s3_buckets:\n"
        "  lake:\n"
        "    prefixes: [raw/, out/daily/]\n"
        "    endpoint_url: https://s3.example:9000\n"
        "    access_key: AKIA1\n"
        "    secret_key: ${LAKE_SECRET}\n"
        "    session_token: tokentoken\n",
    )
    settings = load_settings(tmp_path)
    bucket = settings.s3_buckets["lake"]
    assert bucket.prefixes == ("raw", "out/daily")
    assert bucket.secret_key.get_secret_value() == "hunter2hunter2"
    assert "hunter2hunter2" not in repr(settings)
    assert "tokentoken" not in repr(settings)
    said = redactor_of(settings)("the keys are hunter2hunter2 and tokentoken")
    assert said == "the keys are *** and ***"


@pytest.mark.parametrize(
    ("bucket", "said"),
    [
        ("{regoin: eu-west-1}", "s3_buckets.lake.regoin: unknown key (did you mean 'region'?)"),
        ("{endpoint_url: 'http://user:hunter2@host:1'}", "holds a name or password"),
        ("{endpoint_url: 'host:9000'}", "must be http://host:port"),
        ("{endpoint_url: 'http://host/bucket'}", "must be http://host:port"),
        ("{endpoint_url: 'ftp://host'}", "must be http://host:port"),
        ("{access_key: AKIA1}", "give both or neither"),
        ("{secret_key: hunter2}", "give both or neither"),
        ("{session_token: hunter2}", "needs access_key"),
        ("{anonymous: true, access_key: a, secret_key: hunter2}", "sends no credentials"),
        ("{virtual_hosts: true}", "needs endpoint_url"),
        ("{prefixes: ['']}", "a prefix is folders of a key"),
        ("{prefixes: [/raw]}", "a prefix is folders of a key"),
        ("{prefixes: [raw/../x]}", "a prefix is folders of a key"),
        ("{max_attempts: 0}", "greater than or equal to 1"),
        ("{request_timeout_seconds: 0}", "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, bucket: str, said: str) -> None:
    """With the key, and without the value: it may be a secret."""
    configured(tmp_path, f"s3_buckets:\n  lake: {bucket}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["Lake", "a_b", "ab", "-abc", "a" * 64, "a/b"])
def test_a_name_that_no_bucket_has_is_refused(tmp_path: Path, name: str) -> None:
    """A slip is found at start, not by the first run."""
    configured(tmp_path, f"s3_buckets:\n  {name}: {{}}\n")
    with pytest.raises(ConfigError, match="3 to 63"):
        load_settings(tmp_path)

"""The record of a run: what is kept of the words that began it."""

from __future__ import annotations

import pytest

from nodewise.record import masked


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("postgres_password=hunter2", "postgres_password=…"),
        ('{"api_token": "hunter2", "nodewise_to": "3.5.16"}', '{"api_token": "…", "nodewise_to": "3.5.16"}'),
        ("vault_secret: hunter2", "vault_secret: …"),
        ("nodewise_to=3.5.16", "nodewise_to=3.5.16"),
        ("--vault-password-file", "--vault-password-file"),
    ],
)
def test_secrets_are_not_kept(word: str, kept: str) -> None:
    """A value that is given to a name that says secret is left out; everything else stays as it was typed."""
    assert [kept] == masked([word])

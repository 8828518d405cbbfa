"""What is changed of a cluster's settings and passwords, and what is left alone."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.setup import (
    difference,
    identifier,
    literal,
    password,
    paths,
    verified,
    verifier,
)

# RFC 7677, as PostgreSQL keeps it.
SALT, WORD = "W22ZaJ0SNY7soEsUEjb6gQ==", "pencil"
KEPT = f"SCRAM-SHA-256$4096:{SALT}$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_a_verifier_is_that_of_the_standard() -> None:
    """The example of RFC 7677 gives its two keys."""
    assert verifier(WORD, base64.b64decode(SALT)) == KEPT


@pytest.mark.parametrize(
    ("kept", "word", "expected"),
    [(KEPT, WORD, True), (KEPT, "pen", False), ("md51234", WORD, False), ("", WORD, False), ("SCRAM-SHA-256$x:y$z", WORD, False)],
)
def test_a_password_is_known_by_its_verifier(kept: str, word: str, *, expected: bool) -> None:
    """One of another kind, or none at all, is another password."""
    assert expected == verified(kept, word)


@pytest.mark.parametrize(
    ("wanted", "now", "patch"),
    [
        ({"ttl": 30}, {"ttl": 30, "pause": True}, {}),
        ({"ttl": 20}, {"ttl": 30}, {"ttl": 20}),
        ({"a": {"b": {"c": 1, "d": "on"}}}, {"a": {"b": {"c": "1"}, "e": 2}}, {"a": {"b": {"d": "on"}}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": {"b": 1}}),
        ({"sync": False}, {}, {"sync": False}),
    ],
)
def test_settings_that_differ_are_changed_and_no_others(wanted: dict[str, Any], now: dict[str, Any], patch: dict[str, Any]) -> None:
    """What is not named stays as it is, such as the pause of a cluster; a number may be told as a text."""
    assert patch == difference(wanted, now)


def test_what_is_changed_is_told_by_name() -> None:
    """Without values, with what stands above."""
    assert ["a.b", "a.c.d", "e"] == paths({"a": {"b": 1, "c": {"d": 2}}, "e": 3})


def test_no_password_is_in_a_statement() -> None:
    """The server, and whoever reads its log, sees a verifier."""
    (change,) = password("o'neil", "secret", {})
    assert change["sql"].startswith("create role \"o'neil\" login password 'SCRAM-SHA-256$")
    assert "secret" not in str(change)
    assert change["says"] == "role o'neil"
    assert [] == password("n", WORD, {"n": KEPT})


def test_names_and_texts_are_quoted() -> None:
    """Whatever is in them."""
    assert ("'it''s'", '"a""b"') == (literal("it's"), identifier('a"b'))

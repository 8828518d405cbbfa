"""What others wrote, made short and fit for a line: on the controller, and the same on nodes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import _refusal
from ansible_collections.nodewise.cluster.plugins.module_utils.host import text as on_nodes
from nodewise import text
from nodewise.views.status import status

from .observed import observation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("cut", [text.cut, on_nodes.cut])
@pytest.mark.parametrize(
    ("said", "width", "kept"),
    [
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two…"),
        ("one two three", 7, "one…"),
        ("one two, three", 12, "one two…"),
        ('["n1","n2","n3"]', 12, '["n1","n2"…'),
        ("a " + "b" * 20, 12, "a " + "b" * 9 + "…"),
        ("", 3, ""),
    ],
)
def test_a_text_is_cut_between_words(cut: Callable[[str, int], str], said: str, width: int, kept: str) -> None:
    """It fits the width with its mark; only a word that is longer than half of that is cut itself."""
    assert kept == cut(said, width)
    assert len(kept) <= width


def test_one_helper_cuts_what_is_told() -> None:
    """A slice of a text ends in the middle of a word; shorter ones are digests, and those with a name are lists."""
    slices = re.compile(r"\[: ?(?:[2-9]\d|\d{3,}|_?(?:LINE|LONGEST|SAYING|REASON))\]|textwrap\.shorten|: \w+ - \d\]")
    found = [
        line.strip()
        for base in ("src", "plugins")
        for path in sorted((ROOT / base).rglob("*.py"))
        for line in path.read_text().splitlines()
        if slices.search(line)
    ]
    assert ["return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])"] == found


def test_a_refusal_of_etcd_ends_at_a_word() -> None:
    """An answer that is no JSON is told as far as a line goes."""
    said = _refusal(401, "etcdserver: user name is empty, and a request without a user is not allowed here " * 4)
    assert re.fullmatch(r"HTTP 401 (etcdserver: user name is empty, and a request without a user is not allowed here ?)+.*…", said)
    assert said.removesuffix("…").split()[-1] in "etcdserver: user name is empty, and a request without a user is not allowed here"


def test_what_is_unknown_is_called_so() -> None:
    """The status says `unknown` where nothing could be read, and `none` where nothing is raised."""
    seen = observation(
        {"alarms": None, "fingerprint": None, "fingerprint_at": None, "quorum": None}, n3={"lag": None, "version": None}
    )
    told = "\n".join(status("demo", seen))
    assert "None" not in told
    assert "quorum unknown" in told
    assert "n3  unknown  follower, serves, lag unknown" in told
    assert "fingerprint unknown at unknown, alarms unknown" in told
    assert "alarms none" in status("demo", observation())[-1]
    assert "alarms NOSPACE n1, NOSPACE n2" in status("demo", observation({"alarms": ["NOSPACE n1", "NOSPACE n2"]}))[-1]
    assert "lag 0" in status("demo", observation())[1]

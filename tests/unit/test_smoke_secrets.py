"""Secrets in whatever scripts print: as they are, and as every format and encoding of results writes them; wherever a cut falls."""

from __future__ import annotations

import base64
import json
import re
import shlex
import textwrap
import time
import urllib.parse
from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.output import Output
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.secrets import SHORTEST, Secrets
from nodewise.smoke import protocols

SECRET = "s3cr'et/\"ü<&>#\\%+x"  # noqa: S105
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "JSON": json.dumps,
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON, / escaped": lambda text: json.dumps(text).replace("/", "\\/"),
    "XML text": escape,
    "XML attribute": quoteattr,
    "XML, both quotes": lambda text: escape(text, {'"': "&quot;", "'": "&apos;"}),
    "XML, numbers": lambda text: escape(text, {'"': "&#34;", "'": "&#39;"}),
    "TAP": lambda text: text.replace("\\", "\\\\").replace("#", "\\#"),
    "URL": lambda text: urllib.parse.quote(text, safe=""),
    "URL, / kept": urllib.parse.quote,
    "URL, a form": urllib.parse.quote_plus,
    "URL, small letters": lambda text: re.sub("%..", lambda code: code[0].lower(), urllib.parse.quote(text, safe="")),
    "a shell": shlex.quote,
    "set -x": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    **{f"base64 after {n}": lambda text, n=n: base64.b64encode(b"u" * n + text.encode()).decode() for n in range(5)},  # type: ignore[misc]
    "base64 before more": lambda text: base64.b64encode(f"ab:{text}:more".encode()).decode(),
    "base64 of URLs": lambda text: base64.urlsafe_b64encode(f"{text}??>>".encode()).decode(),
}


def said(secret: str, text: str, cap: int = 1 << 16) -> str:
    """What is left of a text that a script printed."""
    output = Output(cap, Secrets([secret]))
    data = text.encode("utf-8", "surrogateescape")
    for at in range(0, len(data), 7):  # as it may come out of a pipe
        output.add(data[at : at + 7])
    return output.text()


@pytest.mark.parametrize("how", WRITTEN)
def test_a_secret_in_every_form(how: str) -> None:
    """Nothing of it is left but what it shares with nothing: the quotes around it, and what was encoded with it."""
    form = WRITTEN[how](SECRET)
    left = said(SECRET, f"before {form} after")
    assert left.startswith("before ")
    assert left.endswith(" after")
    assert "********" in left
    assert len(left) <= len("before  after") + len("********") + 12, left


@given(secret=st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=SHORTEST, max_size=60), data=st.data())
def test_any_secret(secret: str, data: st.DataObject) -> None:
    """Of any secret no form is left, whatever stands around it."""
    how = data.draw(st.sampled_from(sorted(WRITTEN)))
    form = WRITTEN[how](secret)
    left = said(secret, f"[{form}] [{secret}]")
    assert "********" in left
    if "*" not in secret:
        assert secret not in left
        assert form not in left


@pytest.mark.parametrize("width", [64, 76])
@pytest.mark.parametrize("before", range(0, 90, 7))
def test_base64_in_lines(width: int, before: int) -> None:
    """Wherever the secret begins in it, and on however many lines it ends."""
    secret = "correct horse battery staple " * 3
    lines = textwrap.wrap(base64.b64encode(b"." * before + secret.encode() + b"." * 60).decode(), width)
    left = said(secret, "\n".join(["-----", *lines, "-----"]))
    decoded = base64.b64decode("".join(left.split("\n")[1:-1]).replace("*", "A") + "===", validate=False)
    assert b"horse" not in decoded
    assert "********" in left


@given(pad=st.integers(0, 200), cap=st.integers(16, 120))
def test_wherever_the_cut_falls(pad: int, cap: int) -> None:
    """A cut lets no half of a secret through."""
    left = said("abcdefghijkl", "." * pad + "abcdefghijkl" * 9 + "." * pad, cap)
    assert not {"abcd", "efgh", "ijkl"} & {left[at : at + 4] for at in range(len(left))}


def test_results_can_still_be_read() -> None:
    """A secret in the message of a case is masked before it is parsed, and the case is a case."""
    xml = f"<testsuite><testcase name='a'><failure message={quoteattr(f'no {SECRET} here')}/></testcase></testsuite>"
    (case,) = protocols.cases(said(SECRET, xml)) or []
    assert ("a", "fail", "no ******** here") == (case.name, case.status, case.reason)
    (case,) = protocols.cases(said(SECRET, json.dumps({"name": f"x {SECRET}", "status": "fail"}, ensure_ascii=False))) or []
    assert "x ********" == case.name


def test_what_is_too_short_is_no_secret() -> None:
    """Three characters would mask half of any text."""
    assert "a yes and a no" == said("yes", "a yes and a no")


@pytest.mark.parametrize("wrapped", [False, True])
def test_much_that_looks_like_base64(wrapped: bool) -> None:
    """One line of them, or many: a second for 4 MB, not the square of it."""
    secret, line = "correct horse battery staple", b"QUJD" * 19
    told = base64.b64encode(secret.encode() * 4)
    data = (line + (b"\n" if wrapped else b"")) * 50_000 + b".\n" + told[:70] + b"\n" + told[70:]
    began = time.monotonic()
    left = Secrets([secret]).hide(data)
    assert time.monotonic() - began < 5
    assert told[4:40] not in left
    assert b"********" in left


def test_names_of_processes_and_files() -> None:
    """A text with a name in it is a text."""
    assert "sleep ******** 5" == Secrets([SECRET]).text(f"sleep {SECRET} 5")

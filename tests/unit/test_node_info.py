"""What a node says of itself, and that it does not make anything up."""

from __future__ import annotations

import base64
import datetime
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.nodewise.cluster.plugins.module_utils.host.x509 import BEGIN, END, not_after
from ansible_collections.nodewise.cluster.plugins.module_utils.node import info as node_info
from ansible_collections.nodewise.cluster.plugins.module_utils.node.info import Node
from tests.notes import NAMES

from .simulated import Simulated

UTC = datetime.UTC
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "n1")])
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(end: datetime.datetime) -> str:
    """A certificate that ends then."""
    made = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 1, datetime.datetime(1990, 1, 1, tzinfo=UTC), end)
    return made.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 9999])
def test_end_of_a_certificate(year: int) -> None:
    """Both ways of writing a time are read; the first certificate of a chain counts, whatever text stands before it."""
    end = datetime.datetime(year, 12, 31, 23, 59, 58, tzinfo=UTC)
    chain = "subject=n1\n" + certificate(end) + certificate(datetime.datetime(2030, 1, 1, tzinfo=UTC))
    assert end.timestamp() == not_after(chain)


@given(cut=st.integers(0, 400), at=st.integers(0, 150), byte=st.integers(0, 255))
def test_certificate_that_is_off(cut: int, at: int, byte: int) -> None:
    """A certificate that was cut or changed is read, or is a ValueError, and nothing else."""
    der = bytearray(base64.b64decode("".join(CERTIFICATE.splitlines()[1:-1])))
    der[at] = byte
    try:
        end: Any = not_after(f"{BEGIN}\n{base64.b64encode(der[: len(der) - cut]).decode()}\n{END}\n")
    except ValueError as error:
        end = str(error)
    assert end


CERTIFICATE = certificate(datetime.datetime(2030, 1, 1, tzinfo=UTC))


def test_unknown_is_null_with_an_error(tmp_path: Path) -> None:
    """What is not there is null and named, never 0 or empty; what was not asked for is null without an error."""
    (tmp_path / "text").write_text("no certificate")
    paths = [str(tmp_path / "text"), "/nowhere/node.crt"]
    info = Node().info(str(tmp_path), {"data_dir": "/nowhere/data", "certificates": paths})
    assert [None, None, None] == [info["data"], *info["certificates"].values()]
    assert ["/nowhere/data: No such file or directory", f"{tmp_path}/text: has no certificate in PEM"] == info["errors"][:2]
    assert info["errors"][2].startswith("/nowhere/node.crt: ")
    assert info["unit"] is None
    assert len(info["errors"]) == 3


def test_what_is_there(tmp_path: Path) -> None:
    """Sizes, releases, clock and the end of a certificate are those of the node."""
    (tmp_path / "data/member").mkdir(parents=True)
    (tmp_path / "data/member/db").write_bytes(b"x" * 100_000)
    (tmp_path / "node.crt").write_text(CERTIFICATE)
    info = Node().info(
        str(tmp_path / "not/yet"),
        {"data_dir": str(tmp_path / "data"), "data_room": False, "certificates": [str(tmp_path / "node.crt")]},
    )
    assert info["data"].pop("room") is False
    assert 100_000 <= info["data"]["bytes"] < 200_000
    assert min(info["free_bytes"], info["data"]["free_bytes"]) > 0
    assert (str(tmp_path / "not/yet"), {}) == (info["root"], info["state"])
    assert ([], None, []) == (info["staged"], info["linked"], info["errors"])
    end = info["certificates"][str(tmp_path / "node.crt")]
    assert end["not_after"] == "2030-01-01T00:00:00.000Z"
    assert end["seconds_left"] == pytest.approx(datetime.datetime(2030, 1, 1, tzinfo=UTC).timestamp() - info["clock"] / 1e9, abs=5)


def test_state_that_cannot_be_read(tmp_path: Path) -> None:
    """Who holds the node is unknown when the file is torn: null with an error, not free."""
    (tmp_path / "state.json").write_text("{")
    info = Node().info(str(tmp_path), {})
    assert info["state"] is None
    assert any("nobody knows who holds the cluster" in error for error in info["errors"])


@contextmanager
def at_work(path: Path, shebang: str, program: str) -> Iterator[int]:
    """A script that runs until it may end; its number."""
    path.write_text(f"#!{shebang}\n{program}\n")
    path.chmod(0o755)
    with subprocess.Popen([str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield process.pid
        process.kill()


SCRIPTS = [
    ("/bin/sh", "echo; read line"),
    (f"{sys.executable} -u", "print(); input()"),
    ("/usr/bin/perl -w", '$|=1; print "\\n"; <STDIN>;'),
]


@pytest.mark.parametrize(("shebang", "program"), SCRIPTS)
def test_who_restarts_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shebang: str, program: str) -> None:
    """A program is known by its own name, whoever interprets it; a longer name, or a file that somebody reads, is another one."""
    name = f"restarts-{tmp_path.name}"
    monkeypatch.setattr(node_info, "RESTARTERS", (name,))
    with (
        at_work(tmp_path / f"{name}-shutdown", shebang, program),
        subprocess.Popen(["tail", "-f", tmp_path / f"{name}-shutdown", "/dev/null"], stdout=subprocess.DEVNULL) as reader,
        at_work(tmp_path / name, shebang, program) as pid,
    ):
        assert [{"pid": pid, "name": name}] == Node().info(str(tmp_path), {})["restarters"]
        reader.kill()
    assert [] == Node().info(str(tmp_path), {})["restarters"]


def test_no_upgrade_while_services_are_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade is refused with the program and its number, nothing is changed, and later the same command upgrades."""
    name = f"restarts-{tmp_path.name}"
    monkeypatch.setattr(node_info, "RESTARTERS", (name,))
    notes = Simulated(tmp_path)
    with at_work(tmp_path / name, *SCRIPTS[0]) as pid:
        assert "refused" == notes.upgrade("1.1.0")
        assert f"n1: {name} (pid {pid}) is at work and may restart services" in notes.summary()["reason"]
    assert dict.fromkeys(NAMES, 0) == notes.starts()
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0")

"""Staging from a web server that behaves, and from one that does not."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.release.staging import NotToBeHad, stage
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import ReleaseError, Store

MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nodewise.cluster.plugins.modules import release_stage
with patch_module_args(json.loads(sys.argv[1])):
    release_stage.main()
"""
LIMITS = {"deadline": 20.0, "min_free": 1.0}


def tarball(program: bytes) -> bytes:
    """A release of one program."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("demo-1/demo")
        info.size, info.mode = len(program), 0o755
        tar.addfile(info, io.BytesIO(program))
    return packed.getvalue()


CONTENT = tarball(b"#!/bin/sh\necho demo\n" + os.urandom(300_000))


class Handler(BaseHTTPRequestHandler):
    """/<trouble>/<n>/demo.tar.gz has that trouble at the first n requests."""

    asked: dict[str, int]

    def do_GET(self) -> None:
        """Answer, or not."""
        _, trouble, times, _ = self.path.split("/")
        self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if trouble != "good" and self.asked[self.path] <= int(times):
            getattr(self, trouble)()
        else:
            self.whole()

    def whole(self) -> None:
        """All of it."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def cut(self) -> None:
        """Half of it, and the connection ends."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])

    def busy(self) -> None:
        """Come again later."""
        self.send_error(503)

    def missing(self) -> None:
        """Not there."""
        self.send_error(404)

    def page(self) -> None:
        """A page that says so instead of the file, as captive portals do it."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>please log in</html>")

    def stalled(self) -> None:
        """A beginning, then nothing."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000])
        self.wfile.flush()
        time.sleep(5)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Closing it waits for nobody."""

    daemon_threads = True
    block_on_close = False


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a web server."""
    Handler.asked = {}
    with Server(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Releases in a folder of the test's own."""
    return Store(str(tmp_path / "demo"))


def release(base: str, **changes: Any) -> dict[str, Any]:
    """A release of one tarball."""
    artifact = {"url": f"{base}/demo.tar.gz", "sha256": hashlib.sha256(CONTENT).hexdigest(), "kind": "tar"}
    return {"version": "1.0", "artifacts": [{**artifact, **changes}], "binaries": {"demo": "demo-1/demo"}}


def left(store: Store) -> list[str]:
    """What lies beside, or instead of, whole releases."""
    folder = Path(store.releases)
    return [entry.name for entry in folder.iterdir() if entry.name not in store.staged()] if folder.exists() else []


def test_stages_once(server: str, store: Store) -> None:
    """A release appears whole with its programs; again, nothing is fetched."""
    first = stage(store, release(f"{server}/good/0"), LIMITS)
    assert (True, len(CONTENT)) == (first["changed"], first["bytes"])
    program = Path(first["path"], "bin/demo")
    assert os.access(program, os.X_OK)
    assert {"demo": hashlib.sha256(program.read_bytes()).hexdigest()} == first["binaries"]
    again = stage(store, release(f"{server}/good/0"), LIMITS)
    assert (False, 0, first["binaries"]) == (again["changed"], again["bytes"], again["binaries"])
    assert Handler.asked["/good/0/demo.tar.gz"] == 1
    assert left(store) == []


def test_what_is_missing_is_told_and_not_fetched(server: str, store: Store) -> None:
    """The controller asks so before it ships anything; what is there is as good as staged."""
    wanted = release(f"{server}/good/2")
    asked = stage(store, {**wanted, "fetch": False}, LIMITS)
    assert (True, False, False) == (asked["lacks"], asked["changed"], asked["staged"])
    assert "/good/2/demo.tar.gz" not in Handler.asked
    assert not stage(store, wanted, LIMITS)["lacks"]
    again = stage(store, {**wanted, "fetch": False}, LIMITS)
    assert (False, True) == (again["lacks"], again["staged"])


def test_check_mode(server: str, store: Store) -> None:
    """In check mode it says what it would do, and makes nothing."""
    said = stage(store, release(f"{server}/good/1"), LIMITS, check=True)
    assert (True, "is not staged") == (said["changed"], said["says"])
    assert not Path(store.releases).exists()


@pytest.mark.parametrize("trouble", ["cut/2", "busy/2"])
def test_tries_again(server: str, store: Store, trouble: str) -> None:
    """A connection or a server that fails is tried again."""
    assert stage(store, release(f"{server}/{trouble}"), LIMITS)["changed"]
    assert Handler.asked[f"/{trouble}/demo.tar.gz"] == 3


@pytest.mark.parametrize(
    ("trouble", "deadline", "says", "requests"),
    [
        ("missing/9", 20.0, "the server answers 404", 1),
        ("page/9", 20.0, "sha256 is .*, expected", 1),
        ("busy/99", 1.0, "the server answers 503", 1),
        ("stalled/9", 0.5, "timed out", 1),
    ],
)
def test_leaves_nothing(server: str, store: Store, trouble: str, deadline: float, says: str, requests: int) -> None:
    """Whatever the server does, the artifact is named in one line, and nothing is staged."""
    with pytest.raises(ReleaseError, match=f"demo.tar.gz: .*{says}.*nothing was staged"):
        stage(store, release(f"{server}/{trouble}"), {**LIMITS, "deadline": deadline})
    assert Handler.asked[f"/{trouble}/demo.tar.gz"] >= requests
    assert store.staged() == left(store) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sha256": "ab" * 32}, r"sha256 is [0-9a-f]{16}…, expected abababababababab…"),
        ({"kind": "deb"}, "is not a Debian package"),
        ({"url": "http://127.0.0.1:9/demo.tar.gz"}, "could not be fetched"),
        ({"url": "file:///nowhere/demo.tar.gz"}, "No such file"),
        ({"size": 1 << 50}, "MiB free, expected"),
    ],
)
def test_wanted_wrongly(server: str, store: Store, changes: dict[str, Any], says: str) -> None:
    """A wrong checksum, kind, place or size is said in one line, and nothing is staged."""
    with pytest.raises(ReleaseError, match=says) as error:
        stage(store, release(f"{server}/good/2", **changes), {**LIMITS, "deadline": 1.0})
    assert len(str(error.value).splitlines()) == 1
    assert "nothing was staged" in str(error.value)
    assert store.staged() == left(store) == []


@pytest.mark.parametrize("path", ["demo-1/other", "../../../../bin/sh", "demo-1"])
def test_program_that_is_not_there(server: str, store: Store, path: str) -> None:
    """A program that the artifacts do not have, or that would lie outside of them, is refused."""
    with pytest.raises(ReleaseError, match="is not in the artifacts"):
        stage(store, {**release(f"{server}/good/3"), "binaries": {"demo": path}}, LIMITS)
    assert store.staged() == left(store) == []


def test_damage_is_repaired(server: str, store: Store) -> None:
    """A program that is not what was staged makes the release be staged again."""
    place = Path(stage(store, release(f"{server}/good/4"), LIMITS)["path"])
    (place / "bin/demo").write_bytes(b"other")
    assert "is damaged" in stage(store, release(f"{server}/good/4"), LIMITS)["says"]
    assert store.damage("1.0") == ""
    (place / "release.json").write_text("{")
    assert "has no readable" in stage(store, release(f"{server}/good/4"), LIMITS)["says"]
    assert left(store) == []


def test_what_nobody_offers_any_more(server: str, store: Store) -> None:
    """Without artifacts a release is what was staged; one that was not, or is damaged, cannot be had."""
    kept = {"version": "1.0", "artifacts": [], "binaries": {}}
    with pytest.raises(NotToBeHad, match=r"1\.0 is not staged, and is no longer offered; nothing was staged"):
        stage(store, kept, LIMITS)
    place = Path(stage(store, release(f"{server}/good/6"), LIMITS)["path"])
    assert not stage(store, kept, LIMITS)["changed"]
    (place / "bin/demo").write_bytes(b"other")
    with pytest.raises(NotToBeHad, match="is damaged"):
        stage(store, kept, LIMITS)


def test_release_in_use_is_left_alone(server: str, store: Store) -> None:
    """What the link leads to, or a process runs from, is not replaced."""
    place = stage(store, release(f"{server}/good/5"), LIMITS)["path"]
    Path(store.link).symlink_to(place)
    other = {**release(f"{server}/good/5"), "binaries": {"another": "demo-1/demo"}}
    with pytest.raises(ReleaseError, match=r"1\.0 was staged from other artifacts, and .*current uses it; nothing was staged"):
        stage(store, other, LIMITS)
    Path(store.link).unlink()
    sleep = Path(place, "files/sleep")
    sleep.write_bytes(Path("/usr/bin/sleep").read_bytes())
    sleep.chmod(0o755)
    with subprocess.Popen([str(sleep), "60"]) as process:
        while Path(f"/proc/{process.pid}/exe").readlink() != sleep:
            time.sleep(0.005)
        with pytest.raises(ReleaseError, match=f"process {process.pid} uses it"):
            stage(store, other, LIMITS)
        process.kill()
    assert stage(store, other, LIMITS)["changed"]


def module(**arguments: Any) -> subprocess.Popen[str]:
    """The module, as Ansible would run it."""
    return subprocess.Popen([sys.executable, "-c", MODULE, json.dumps(arguments)], stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it returned."""
    out, _ = process.communicate(timeout=30)
    said: dict[str, Any] = json.loads(out)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="the node's lock lies in /run, which is root's")
def test_killed_module_leaves_no_half(server: str, tmp_path: Path) -> None:
    """A module that is killed while it fetches gives the lock back; the next one sweeps and stages. Others say who has it."""
    root = tmp_path / f"demo-{os.getpid()}"
    store = Store(str(root))
    first = module(root=str(root), **release(f"{server}/stalled/1"))
    while not any(root.glob("releases/.stage-*/0")):
        time.sleep(0.01)
    refused = answer(module(root=str(root), deadline=0.2, **release(f"{server}/stalled/1")))
    assert f"is held by release_stage of 1.0, pid {first.pid}" in refused["msg"]
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(left(store)) == 1
    assert answer(module(root=str(root), **release(f"{server}/stalled/1")))["changed"]
    assert (["1.0"], []) == (store.staged(), left(store))
    Path(f"/run/nodewise/{root.name}.lock").unlink()

"""What the role left on a node: two releases side by side, and the unit that was switched from one to the other, once."""

from __future__ import annotations

import json

from testinfra.host import Host

ROOT = "/opt/nodewise/hello"


def test_the_unit_runs_from_the_new_release_now_and_at_boot(host: Host) -> None:
    """The link leads to it, and so does the program of the process."""
    unit, process = host.service("hello"), host.process.get(comm="hello")
    assert (True, True) == (unit.is_running, unit.is_enabled)
    assert f"{ROOT}/releases/1.1" == host.file(f"{ROOT}/current").linked_to
    assert f"{ROOT}/releases/1.1/files/hello-1.1/hello" == host.check_output(f"readlink /proc/{process.pid}/exe")


def test_the_unit_was_restarted_once(host: Host) -> None:
    """Neither check mode nor doing it again stopped what ran."""
    started = "journalctl --quiet --output=cat --unit=hello MESSAGE_ID=39f53479d3a045ac8e11786248231fbf"
    assert 2 == len(host.check_output(started).splitlines())


def test_the_old_release_is_there_to_go_back_to(host: Host) -> None:
    """Both are whole: their manifests name the checksum of what was unpacked."""
    for version in ("1.0", "1.1"):
        noted = json.loads(host.file(f"{ROOT}/releases/{version}/release.json").content_string)["binaries"]["hello"]["sha256"]
        assert noted == host.file(f"{ROOT}/releases/{version}/bin/hello").sha256sum


def test_what_was_refused_left_nothing(host: Host) -> None:
    """The version whose checksum was another is not staged, and not half of it."""
    assert ["1.0", "1.1"] == sorted(host.file(f"{ROOT}/releases").listdir())

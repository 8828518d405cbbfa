"""What comes out of an artifact, and what is kept from coming out."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.release.unpack import UnpackError, unpack


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member of an archive: a file, unless `type` says otherwise."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    """A tar archive of these members."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def package(path: Path, data: Path, compression: str) -> Path:
    """A Debian package, as the least that dpkg-deb and we read: an ar archive of three members."""
    control = archive(path.with_suffix(".control"), member("./control", b"Package: x\nVersion: 1\nArchitecture: all\n"))
    parts = [("debian-binary", b"2.0\n"), ("control.tar.gz", control.read_bytes()), (f"data.tar.{compression}", data.read_bytes())]
    with path.open("wb") as stream:
        stream.write(b"!<arch>\n")
        for name, content in parts:
            header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
            stream.write(header + content + b"\n" * (len(content) % 2))
    return path


def test_programs_of_a_wheel(tmp_path: Path) -> None:
    """Those that it brings along, and those that it declares, which find its modules wherever the release lies."""
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr(
            "greeter/__init__.py", "class Greeter:\n    @staticmethod\n    def main():\n        return 'hello from a wheel'\n"
        )
        wheel.writestr(
            "greeter-1.dist-info/entry_points.txt", "[console_scripts]\ngreet = greeter:Greeter.main [extra]\n[other]\na = b\n"
        )
        wheel.writestr("greeter-1.data/scripts/asks", "#!python\nprint(1)\n")
        wheel.writestr("greeter-1.data/scripts/native", b"\x7fELF")
    unpack(str(tmp_path / "x.whl"), "wheel", str(tmp_path / "files"))
    moved = (tmp_path / "files").rename(tmp_path / "elsewhere")
    done = subprocess.run([sys.executable, moved / "bin/greet"], capture_output=True, text=True, check=False)
    assert (1, "hello from a wheel\n") == (done.returncode, done.stderr)
    assert "#!/usr/bin/python3\nprint(1)\n" == (moved / "bin/asks").read_text()
    assert b"\x7fELF" == (moved / "bin/native").read_bytes()
    assert [0o755] * 3 == [path.stat().st_mode & 0o777 for path in (moved / "bin").iterdir()]


def test_a_program_that_is_none(tmp_path: Path) -> None:
    """What a wheel declares is a name and a function; anything else is refused."""
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr("x-1.dist-info/entry_points.txt", "[console_scripts]\n../greet = a:b\n")
    with pytest.raises(UnpackError, match="which cannot be read"):
        unpack(str(tmp_path / "x.whl"), "wheel", str(tmp_path / "files"))


def test_tar(tmp_path: Path) -> None:
    """Files and links come out; they are root's, nobody else may write, and what could be run still can."""
    packed = archive(
        tmp_path / "x.tar.gz",
        member("x/run", b"#!", mode=0o4777, uid=4711, uname="games"),
        member("x/text", b"t", mode=0o666),
        member("x/link", type=tarfile.SYMTYPE, linkname="run"),
    )
    unpack(str(packed), "tar", str(tmp_path / "out"))
    run, text = ((tmp_path / "out/x" / name).stat() for name in ("run", "text"))
    assert (run.st_mode & 0o7777, run.st_uid) == (0o755, os.getuid())
    assert text.st_mode & 0o7777 == 0o644
    assert (tmp_path / "out/x/link").read_bytes() == b"#!"


@pytest.mark.parametrize("compression", ["gz", "xz"])
def test_deb(tmp_path: Path, compression: str) -> None:
    """A Debian package is read without dpkg."""
    data = archive(tmp_path / "data", member("./usr/bin/x", b"program", mode=0o755), mode=f"w:{compression}")
    unpack(str(package(tmp_path / "x.deb", data, compression)), "deb", str(tmp_path / "out"))
    assert (tmp_path / "out/usr/bin/x").read_bytes() == b"program"


@pytest.mark.skipif(not shutil.which("zstd") or not shutil.which("dpkg-deb"), reason="zstd makes the package, dpkg-deb reads it")
def test_deb_in_zstd(tmp_path: Path) -> None:
    """What Python cannot decompress is read through dpkg-deb."""
    plain = archive(tmp_path / "data.tar", member("./usr/bin/x", b"program" * 100_000, mode=0o755), mode="w")
    subprocess.run(["zstd", "-q", str(plain)], check=True)
    unpack(str(package(tmp_path / "x.deb", tmp_path / "data.tar.zst", "zst")), "deb", str(tmp_path / "out"))
    assert (tmp_path / "out/usr/bin/x").stat().st_size == 700_000


OUTSIDE = [
    [member("../evil", b"x")],
    [member("/opt/nodewise-evil", b"x")],
    [member("a/../../evil", b"x")],
    [member("link", type=tarfile.SYMTYPE, linkname="/etc")],
    [member("link", type=tarfile.SYMTYPE, linkname="../..")],
    [member("a", type=tarfile.DIRTYPE, mode=0o755), member("a/link", type=tarfile.SYMTYPE, linkname="../../evil")],
    [member("here", type=tarfile.SYMTYPE, linkname="."), member("up", type=tarfile.SYMTYPE, linkname="here/..")],
    [member("hard", type=tarfile.LNKTYPE, linkname="../secret")],
    [member("fifo", type=tarfile.FIFOTYPE)],
    [member("disk", type=tarfile.BLKTYPE)],
]


@pytest.mark.parametrize("members", OUTSIDE, ids=lambda members: f"{members[-1][0].name} {members[-1][0].linkname}")
def test_members_that_leave(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """A member that would lie or lead outside, or is a device, is refused and named, whatever Python thinks of it."""
    (tmp_path / "secret").write_text("s")
    with pytest.raises(UnpackError, match=r"leads outside|neither file"):
        unpack(str(archive(tmp_path / "x.tar.gz", *members)), "tar", str(tmp_path / "out"))
    assert not (tmp_path / "evil").exists()
    assert not Path("/opt/nodewise-evil").exists()


@pytest.mark.parametrize("kind", ["tar", "deb"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"!<arch>\ndebian-binary", b"\x1f\x8b\x08\x00"])
def test_no_archive(tmp_path: Path, kind: str, content: bytes) -> None:
    """What is no archive, or only the beginning of one, is an error in a few words."""
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(UnpackError, match="is not a "):
        unpack(str(file), kind, str(tmp_path / "out"))


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_half_an_archive(tmp_path: Path, keep: float) -> None:
    """An archive that ends too early is an error, not what it has so far."""
    whole = archive(tmp_path / "x.tar.gz", member("x", os.urandom(50_000))).read_bytes()
    (tmp_path / "half").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UnpackError):
        unpack(str(tmp_path / "half"), "tar", str(tmp_path / "out"))

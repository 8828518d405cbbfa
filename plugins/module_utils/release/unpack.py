# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unpacking an artifact (a Debian package, a tar archive, a Python wheel) into a folder, and nowhere else."""

from __future__ import annotations

import configparser
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, ContextManager, Iterator, cast

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment

AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60
PYTHON = b"#!/usr/bin/python3"
_LAUNCHER = """#!/usr/bin/python3
import os, sys
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from {module} import {first}
sys.exit({function}())
"""
_SCRIPTS = re.compile(r"^[^/]+\.data/scripts/")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_DATA = re.compile(r"^[^/]+\.data/(purelib|platlib)/")
PORTION = 4 << 20  # bytes that wait to be written at a time


class UnpackError(Failure):
    """Why an artifact could not be unpacked, in a few words."""


class _Slice:
    """The next `left` bytes of a stream, as tarfile reads them."""

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self._stream, self._left = stream, left

    def read(self, count: int) -> bytes:
        data = self._stream.read(min(count, self._left))
        self._left -= len(data)
        return data


def unpack(file: str, kind: str, target: str) -> None:
    """Unpack `file` (kind deb, tar or wheel) into the folder `target`; a member that would lie, or lead, outside is refused."""
    if kind == "wheel":
        _unzip(file, target)
        return
    try:
        with _stream(file, kind) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # a second pair of eyes, where Python has it
            for member in tar:
                _extract(tar, member, target)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise UnpackError(f"is not a readable {kind}: {error}") from None


def _stream(file: str, kind: str) -> ContextManager[IO[bytes]]:
    """Return the tar stream of an artifact, to be entered."""
    if kind == "tar":
        return open(file, "rb")
    with open(file, "rb") as stream:
        name = _data_member(stream)[0]
    return _dpkg(file) if name.endswith(".zst") else _data(file)  # Python reads zstd from 3.14 on only


@contextmanager
def _data(file: str) -> Iterator[IO[bytes]]:
    with open(file, "rb") as stream:
        size = _data_member(stream)[1]
        yield cast("IO[bytes]", _Slice(stream, size))


def _data_member(stream: IO[bytes]) -> tuple[str, int]:
    """Find data.tar.* in a Debian package, which is an ar archive, and leave the stream at its first byte."""
    if stream.read(len(AR_MAGIC)) != AR_MAGIC:
        raise UnpackError("is not a Debian package")
    while True:
        header = stream.read(AR_HEADER)
        if len(header) < AR_HEADER:
            raise UnpackError("is not a complete Debian package: it ends before data.tar")
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        if name.startswith("data.tar"):
            return name, size
        stream.seek(size + size % 2, os.SEEK_CUR)


@contextmanager
def _dpkg(file: str) -> Iterator[IO[bytes]]:
    program = shutil.which("dpkg-deb")
    if not program:
        raise UnpackError("is compressed with zstd, which needs dpkg-deb on the node")
    with subprocess.Popen(
        [program, "--fsys-tarfile", file], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        stream = cast("IO[bytes]", process.stdout)
        yield stream
        while stream.read(1 << 20):  # tarfile stops at the end marker: the padding after it would end dpkg-deb with SIGPIPE
            pass
    if process.returncode:
        raise UnpackError(f"could not be read by dpkg-deb (exit code {process.returncode})")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    """Members are extracted one by one, so that a link that came before is seen by the look at where the next one leads."""
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        raise UnpackError(f"has {member.name}, which is neither file, folder nor link")
    place = os.path.join(target, member.name)
    leads = [place]
    if member.issym():
        leads = [os.path.join(os.path.dirname(place), member.linkname), os.path.dirname(place)]
    elif member.islnk():
        leads = [os.path.join(target, member.linkname), place]
    root = os.path.realpath(target)
    for lead in leads:
        if os.path.commonpath([root, os.path.realpath(lead)]) != root:
            raise UnpackError(f"has {member.name}, which leads outside of the release")
    member.uid = member.gid = 0  # whoever made the archive is nobody here
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    if member.isfile():
        _write(cast("IO[bytes]", tar.extractfile(member)), place, member.mode)
    else:
        tar.extract(member, target)


def _unzip(file: str, target: str) -> None:
    """Of a wheel, a zip archive, the modules, also those of its data folder (purelib, platlib), and its programs, in bin/."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = _SCRIPTS.sub("bin/", _DATA.sub("", member.filename))
                if name.startswith("/") or "\\" in name or ".." in name.split("/"):
                    raise UnpackError(f"has {member.filename}, which leads outside of the release")
                if not member.is_dir():
                    with archive.open(member) as source:
                        program = name.startswith("bin/")
                        _write(_runnable(source) if program else source, os.path.join(target, name), 0o755 if program else 0o644)
                if name.endswith(".dist-info/entry_points.txt"):
                    _launchers(archive.read(member).decode(), target)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise UnpackError(f"is not a readable wheel: {error}") from None


def _runnable(source: IO[bytes]) -> IO[bytes]:
    """A program of a wheel, with the node's Python where it asks for the one that installs it."""
    content = source.read()
    return io.BytesIO(PYTHON + content[len(b"#!python") :] if content.startswith(b"#!python\n") else content)


def _launchers(entry_points: str, target: str) -> None:
    """The programs that a wheel declares, which find its modules wherever the release lies."""
    declared = configparser.ConfigParser(delimiters=("=",))
    declared.optionxform = str  # type: ignore[assignment]
    declared.read_string(entry_points)
    for name, where in declared.items("console_scripts") if declared.has_section("console_scripts") else ():
        module, _colon, function = where.partition("[")[0].strip().partition(":")
        if not all(map(_WORD.fullmatch, (name, module, function))):
            raise UnpackError(f"has the program {name} = {where}, which cannot be read")
        text = _LAUNCHER.format(module=module, function=function, first=function.split(".", maxsplit=1)[0])
        _write(io.BytesIO(text.encode()), os.path.join(target, "bin", name), 0o755)


def _write(source: IO[bytes], place: str, mode: int) -> None:
    """Write a file bit by bit to the disk: what serves on this node waits for its own writes behind all that is not there yet."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.lexists(place):
        os.unlink(place)
    with open(place, "xb") as file:
        for block in iter(lambda: source.read(PORTION), b""):
            file.write(block)
            file.flush()
            os.fdatasync(file.fileno())
    os.chmod(place, mode)

# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other programs: found, allowed and run with a deadline. Failures are one line with the program's own last words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from nodewise.errors import MissingTool, SetupError

PACKAGES = {
    "podman": "podman netavark",
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
SBIN = ("/usr/sbin", "/sbin")  # an ordinary user's PATH leaves them out
GRACE_SECONDS = 20  # for a program that was told to end: mmdebstrap unmounts and removes what it has unpacked


def require(*programs: str) -> None:
    """Raise MissingTool with one command that installs all that is missing."""
    missing = [program for program in programs if not find(program)]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[program] for program in missing))
        raise MissingTool(
            f"not found: {', '.join(missing)}; testnets need {'it' if len(missing) == 1 else 'them'}. Nothing was changed.\n"
            f"Install with: {'' if os.geteuid() == 0 else 'sudo '}apt-get install --no-install-recommends {packages}"
        )


def find(program: str) -> str | None:
    """Where the program is; the sbin folders count."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))


def require_root() -> None:
    """Raise MissingTool unless commands can be run as root without a password."""
    if os.geteuid() == 0:
        return
    if not find("sudo") or subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        raise MissingTool(
            "nodes are containers of root's podman, and sudo asks for a password here. Nothing was changed.\n"
            "Allow it for this session with: sudo -v   (or run as root)"
        )


def as_root(command: Sequence[str], env: dict[str, str] | None = None) -> list[str]:
    """The command with `env` added, through sudo where the caller is not root."""
    settings = [f"{key}={value}" for key, value in (env or {}).items()]
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *(["env", *settings] if settings else []), *command]


def run(command: Sequence[str], *, timeout: float, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run to the end, `timeout` seconds at most; SetupError when that passes, and with `check` when the program fails.

    The program is in a process group of its own: Ctrl-C in the terminal does not reach it, as half a `podman run` would leave
    things behind that nobody finds. (Not in a session of its own: sudo remembers a password for one terminal.) When we are
    interrupted it is told to end, and has ended when this returns.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0) as process:
        try:
            out, err = process.communicate(text or "", timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise SetupError(f"`{_brief(command)}` did not end within {timeout:.0f} s and was ended") from None
        except BaseException:
            _end(process)
            raise
    if check and process.returncode:
        raise SetupError(f"`{_brief(command)}` failed with exit code {process.returncode}: {last_line(err or out)}")
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    """End the program and its children, gently first. Through `kill`, as what runs under sudo is not ours to signal."""
    for word, seconds in (("-TERM", GRACE_SECONDS), ("-KILL", 5)):
        subprocess.run(as_root(["kill", word, "--", f"-{process.pid}"]), capture_output=True, check=False)
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue
        return


def _brief(command: Sequence[str]) -> str:
    """The words that name a command in a message: the program and its verb."""
    words = [word for word in command if "=" not in word and word not in ("sudo", "-n", "env")]
    return " ".join(words[:2])


def last_line(text: str) -> str:
    """What a program said last, which is where the reason stands."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def processes() -> Iterator[tuple[int, list[str]]]:
    """The id and the words of each command that runs on this machine."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                words = Path(entry.path, "cmdline").read_text(errors="replace").split("\0")
            except OSError:
                continue  # it ended meanwhile
            yield int(entry.name), words

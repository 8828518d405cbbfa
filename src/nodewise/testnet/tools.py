"""Other programs: found, allowed and run with a deadline. Failures are one line with the program's own last words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from nodewise.errors import MissingTool, SetupError

PACKAGES = {
    "podman": "podman runc netavark",
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


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
    """Where the program is; the sbin folders count although an ordinary user's PATH leaves them out."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


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
    words = [*(f"{key}={value}" for key, value in (env or {}).items()), *command]
    if os.geteuid() == 0:
        return ["env", *words] if env else words
    return ["sudo", "-n", "env", *words]


def run(command: Sequence[str], *, timeout: float, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run to the end, `timeout` seconds at most, in a session of its own.

    Ctrl-C in the terminal does not reach the program: half a `podman run` would leave things behind that nobody finds.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, input=text or "", check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise SetupError(f"{program(command)} did not end within {timeout:.0f} s and was ended") from None
    if check and done.returncode:
        raise SetupError(f"{program(command)} failed with exit code {done.returncode}: {last_line(done.stderr or done.stdout)}")
    return done


def program(command: Sequence[str]) -> str:
    """The words that name a command in a message: the program and its verb."""
    words = [word for word in command if "=" not in word and word not in ("sudo", "-n", "env")]
    return " ".join(words[:2])


def last_line(text: str) -> str:
    """What a program said last, which is where the reason stands."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"

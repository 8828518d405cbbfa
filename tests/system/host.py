"""One node, and modules run on it as Ansible runs them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from nodewise.testnet import state
from nodewise.testnet.inventory import tree

ROOT = Path(__file__).resolve().parents[2]
PLACE = {"root": "/opt/nodewise/demo"}


class Host:
    """A node, and modules run on it by Ansible."""

    def __init__(self, net: state.Testnet, folder: Path) -> None:
        self.net, self.folder, self.before = net, folder, 0
        (folder / "inventory.json").write_text(json.dumps(tree([net])))

    def ask(self, module: str, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """What a module returned."""
        words = ["-i", str(self.folder / "inventory.json"), self.net.name, "-b", "-t", str(self.folder / "answers")]
        words += ["-m", f"nodewise.cluster.{module}", "-a", json.dumps(arguments), *(["--check"] if check else [])]
        subprocess.run([str(Path(sys.executable).with_name("ansible")), *words], cwd=ROOT, capture_output=True, check=False)
        said: dict[str, Any] = json.loads((self.folder / "answers" / self.net.nodes[0].name).read_text())
        return said

    def switch(self, version: str, **arguments: Any) -> dict[str, Any]:
        """What release_switch returned."""
        return self.ask("release_switch", **{**PLACE, "unit": "demo", "version": version, "timeout_s": 20, **arguments})

    def shell(self, line: str, seconds: float = 60) -> str:
        """What a line printed on the node, as root."""
        done = self.net.run("n1", f"sudo sh -c {shlex.quote(line)}", seconds)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def unit(self, text: str) -> None:
        """Write the unit anew; systemd is not told."""
        answer = self.ask("node_files", files={"/etc/systemd/system/demo.service": {"content": text}})
        assert answer["changed"]

    def pid(self) -> int:
        """The unit's main process."""
        return int(self.shell("systemctl show -P MainPID demo"))

    def linked(self) -> str:
        """Where the link leads."""
        return self.shell(f"readlink {PLACE['root']}/current").strip()

"""The service of values as it is described, in two releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodewise.systems.app.example import digest, release

PROGRAM = Path(__file__).with_name("values.py")
HTTP = {"port": 8080, "path": "/values/{key}"}


def release_of(folder: Path, version: str, **change: str) -> dict[str, Any]:
    """A release as a tar in a folder, as `releases` has it; `change` is what is wrong with it."""
    content = release(version, PROGRAM, **change)
    file = folder / f"values-{version}-{digest(content)[:8]}.tar"
    file.write_bytes(content)
    artifact = {"kind": "tar", "url": f"controller://{file}", "sha256": digest(content)}
    return {"artifacts": [artifact], "binaries": {"values": "values"}}


def described(folder: Path, **change: str) -> dict[str, Any]:
    """The variables of a service that keeps values; `change` is what is wrong with the new release."""
    app = {
        "name": "values",
        "releases": {"1.0.0": release_of(folder, "1.0.0"), "1.1.0": release_of(folder, "1.1.0", **change)},
        "command": "{bin}/values --data {data}",
        "ready": {"http": {"port": 8080, "path": "/health"}, "says": "^ok$"},
        "version": {"http": {"port": 8080, "path": "/version"}, "value": "version"},
        "started": {"http": {"port": 8080, "path": "/version"}, "value": "started"},
        "workload": {"get": HTTP, "set": {**HTTP, "method": "PUT", "body": "{value}"}},
    }
    return {"nodewise_system": "app", "nodewise_version": "1.0.0", "nodewise_app": app}

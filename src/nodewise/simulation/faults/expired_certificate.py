# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `expired_certificate`: a service was started with a certificate that has expired."""

from __future__ import annotations

from dataclasses import replace

from nodewise.errors import UsageError
from nodewise.simulation.faults import covered
from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.service import OfService

INJECT = """was=$(systemctl show -P MainPID {unit}); [ "$was" != 0 ] || { echo "{unit} does not run" >&2; exit 1; }
{files}
systemctl restart --no-block {unit}
echo "{unit} $was\""""
FILE = """cat >{name} <<'PEM'
{text}
PEM
cover {name} {path} ''"""
# Whether the certificate has expired that a process sees which was started since.
EXPIRED = """main=$(systemctl show -P MainPID {unit})
[ "$main" = 0 ] || [ "$main" = {was} ] || nsenter -t $main -m openssl x509 -checkend 0 -noout -in {path} || :"""


class ExpiredCertificate(OfService, tag="expired_certificate"):
    """The service is restarted, on each host of the target, with a certificate of the cluster's authority that has expired."""

    def able(self, scene: Scene) -> str:
        """Whether it can tell."""
        return f"{super().able(scene)}\ncommand -v openssl >/dev/null || echo it has no openssl"

    def on(self, scene: Scene) -> dict[str, Means]:
        """Each host has its own."""
        return {name: self._with(means, scene, name) for name, means in super().on(scene).items()}

    def _with(self, means: Means, scene: Scene, name: str) -> Means:
        files = scene.expired(name)
        if not files:
            raise UsageError(f"{self.id}: the system does not say where its certificates are")
        written = [
            FILE.replace("{name}", path.rpartition("/")[2]).replace("{path}", path).replace("{text}", text.strip())
            for path, text in files.items()
        ]
        return replace(means, inject=means.inject.replace("{files}", "\n".join(written)))

    def means(self, unit: str) -> Means:
        """Its files are mounted over the host's, and the service is restarted at both ends."""
        undo = f"{covered.UNCOVER}\nsystemctl reset-failed {unit}; systemctl restart --no-block {unit}"
        inject = covered.script(f"{covered.COVER}\n{INJECT}", self.id, unit)
        return Means("bind mount", inject, covered.script(undo, self.id, unit))

    def proved(self, applied: Applied) -> str:
        """The service runs anew, and the certificate that it sees has expired."""
        if good := [name for name, said in self._asked(applied).items() if "will expire" not in said]:
            raise NotProved(f"{self.id}: the service does not run with an expired certificate on {', '.join(good)}")
        return f"the service was started with an expired certificate on {', '.join(applied.said)}"

    def healed(self, applied: Applied) -> str:
        """The service runs anew, and its certificate is good."""
        self.runs(applied)
        if bad := [name for name, said in self._asked(applied).items() if "will not expire" not in said]:
            raise NotProved(f"{self.id}: the service does not run with a good certificate on {', '.join(bad)}")
        return f"the service was started with a good certificate on {', '.join(applied.said)}"

    @staticmethod
    def _asked(applied: Applied) -> dict[str, str]:
        scripts = {}
        for name, said in applied.said.items():
            unit, was = said.split()
            path = next(path for path in applied.scene.expired(name) if path.endswith(".crt"))
            scripts[name] = EXPIRED.replace("{unit}", unit).replace("{was}", was).replace("{path}", path)
        return applied.ask(scripts)

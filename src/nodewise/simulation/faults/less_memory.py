# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `less_memory`: a service may have so much memory, and the kernel ends it when it wants more."""

from __future__ import annotations

import re
from typing import ClassVar

from nodewise.errors import UsageError
from nodewise.simulation.faults.fault import Applied
from nodewise.simulation.faults.host import NotProved
from nodewise.simulation.faults.limited import Limited

SIZE = re.compile(r"(\d+)([MG])B?")
UNITS = {"M": 1 << 20, "G": 1 << 30}
# A child that wants more than there is, and that the kernel takes first.
GREED = """child = os.fork()
if not child:
    with open("/proc/self/oom_score_adj", "w") as score: score.write("1000")
    bytearray({size}); os._exit(0)
print(os.waitpid(child, 0)[1])"""


class LessMemory(Limited, tag="less_memory"):
    """All processes of a service together may have `limit` of memory, of what they take from then on."""

    limit: str = "64M"  # how much more it may take before the kernel ends it

    controller: ClassVar[str] = "memory"

    def check(self, nodes: list[str]) -> None:
        """The limit is a size."""
        super().check(nodes)
        if not self.size:
            raise UsageError(f"{self.id}: limit {self.limit!r}: expected a size such as 64M or 1G")

    @property
    def size(self) -> int:
        """The limit in bytes; 0 when it is none."""
        found = SIZE.fullmatch(self.limit)
        return int(found[1]) * UNITS[found[2]] if found else 0

    def limits(self) -> dict[str, int]:
        """Of memory, and, where the kernel counts it, of memory and swap."""
        return {"memory.limit_in_bytes": self.size, "memory.memsw.limit_in_bytes": self.size}

    def proved(self, applied: Applied) -> str:
        """The kernel kills a program beside the service that wants more."""
        ended = self.probed(applied, GREED.replace("{size}", str(self.size + (16 << 20))))
        if alive := [name for name, code in ended.items() if code != "9"]:
            raise NotProved(f"{self.id}: a probe got more than {self.limit} on {', '.join(alive)}; expected the kernel to kill it")
        return f"the kernel killed a probe that wanted more than {self.limit} on {', '.join(ended)}"

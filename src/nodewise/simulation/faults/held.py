# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts by which a node holds a fault and heals it: with a lease that the controller renews, or by itself when that ends.

The undo is written down before anything is done. A transient unit, outside the cgroup of what is disturbed, injects, waits for the
end of the lease (monotonic time) and then undoes; so does systemd when that unit is killed. A reboot ends the unit, and with /run
its record; what a fault does must not outlive a reboot either. A host that is not marked as a test host is refused on the host.

A fault belongs to whoever armed it, by a word of its own (`owner`): nobody else renews or heals one that has the same name.
"""

from __future__ import annotations

import re

from nodewise.errors import UsageError

LEASE = 15.0  # seconds
MARK = "/etc/testnet"  # what only test hosts have
ROOT = "/run/nodewise/faults"
UNIT = "nodewise-fault-"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")

_ONLY_TEST_HOSTS = f'[ -e {MARK} ] || {{ echo "$(hostname) is no test host: it has no {MARK}" >&2; exit 9; }}\n'
_UPTIME = "read -r up _ </proc/uptime; now=${up%.*}${up#*.}"  # in hundredths of a second
_HOLD = f"""cd {ROOT}/$1
sh -eu ./inject >said || exit
date +%s.%N >began.new; mv began.new began
while {_UPTIME}; [ "$now" -lt "$(cat until)" ]; do sleep 0.1; done
"""
# What cannot be undone stays on record, and is found by whoever heals.
_UNDO = f"""cd {ROOT}/$1 || exit 0
sh -u ./undo >undone 2>&1 || {{ touch stuck; exit 1; }}
echo "$(cat owner) $(cat began 2>/dev/null || echo -) $(date +%s.%N)" >>{ROOT}/healed
cd /; exec rm -rf --one-file-system {ROOT}/$1
"""


def checked(name: str) -> str:
    """The name of a fault, which is a folder and a unit on nodes. Raises UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a fault: expected a-z, 0-9 and -, at most 31 characters, such as: cut-1")
    return name


def arm(name: str, owner: str, inject: str, undo: str, lease: float, *, wait: bool = True) -> str:
    """Have a node inject a fault and hold it for `lease` seconds; prints when it began (epoch) and then what `inject` printed.

    Without `wait` it prints nothing: where the fault cuts off the connection that would bring the answer.
    """
    folder = f"{ROOT}/{checked(name)}"
    script = f"""set -eu
{_ONLY_TEST_HOSTS}umask 077; mkdir -p {ROOT}
mkdir {folder} 2>/dev/null || {{ echo "a fault {name} of another run is there already; testnet heal ends it" >&2; exit 9; }}
cd {folder}; echo {owner} >owner
{_file("undo", undo)}{_file("inject", inject)}{_file("hold", _HOLD)}{_file("take-back", _UNDO)}{_UPTIME}
echo $((now + {round(lease * 100)})) >until
systemd-run --quiet --collect --unit={UNIT}{name} --property=ExecStopPost="/bin/sh {folder}/take-back {name}" \\
  /bin/sh {folder}/hold {name}
"""
    if not wait:
        return script
    return f"""{script}
until [ -e began ]; do
  systemctl is-active --quiet {UNIT}{name} || {{ echo "not injected: $(journalctl -q -o cat -n 3 -u {UNIT}{name})" >&2; exit 8; }}
  sleep 0.02
done
cat began said
"""


def renew(name: str, owner: str, lease: float) -> str:
    """Have it held for `lease` seconds from now; fails when it has ended."""
    until = f"{_UPTIME}; echo $((now + {round(lease * 100)})) >until.new; mv until.new until"
    return f"set -eu; cd {ROOT}/{checked(name)}; grep -qx {owner} owner; {until}"


def said(name: str, owner: str) -> str:
    """When a fault of this owner began (epoch) and what injecting it printed; nothing when the host does not hold it."""
    folder = f"{ROOT}/{checked(name)}"
    return f"{_ONLY_TEST_HOSTS}! grep -qsx {owner} {folder}/owner || cat {folder}/began {folder}/said"


def heal(name: str, owner: str) -> str:
    """Undo it; prints when it began and when it was healed (epoch), also when the node was first. Fails when it is not undone."""
    folder = f"{ROOT}/{checked(name)}"
    return f"""set -eu
if grep -qsx {owner} {folder}/owner; then
  systemctl stop {UNIT}{name} 2>/dev/null || :
  [ ! -e {folder} ] || /bin/sh {folder}/take-back {name} || {{ echo "not undone: $(tail -n 3 {folder}/undone)" >&2; exit 8; }}
fi
[ ! -e {ROOT}/healed ] || awk '$1 == "{owner}" {{ found = $2 " " $3 }} END {{ print found }}' {ROOT}/healed
"""


def heal_all() -> str:
    """Undo all that a node holds, by the node's own record alone; prints the name of each."""
    return f"""{_ONLY_TEST_HOSTS}for folder in {ROOT}/*/; do
  [ -e "$folder" ] || continue
  name=$(basename "$folder")
  systemctl stop "{UNIT}$name" 2>/dev/null
  [ ! -e "$folder" ] || /bin/sh "$folder/take-back" "$name" || {{ echo "$name: $(tail -n 3 "$folder/undone")" >&2; exit 8; }}
  echo "$name"
done
"""


def _file(name: str, text: str) -> str:
    """Lines that write a file as it is."""
    return f"cat >{name} <<'NODEWISE'\n{text.rstrip()}\nNODEWISE\n"

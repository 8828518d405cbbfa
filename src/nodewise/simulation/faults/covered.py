# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What faults of a host's files share: others are mounted over them. No file is changed, and a reboot leaves nothing."""

from __future__ import annotations

# In the host's file systems, and in the service's where it has its own. What was mounted by this fault is known by its folder.
COVER = """cover() {
  chown --reference="$2" "$1"; chmod --reference="$2" "$1"
  mount --bind "$PWD/$1" "$2"
  [ -z "$3" ] || grep -q " [^ ]*/faults/{id}/[^ ]* $2 " /proc/$3/mountinfo || nsenter -t $3 -m mount --bind "$PWD/$1" "$2"
}"""
UNCOVER = """for pid in $$ $(systemctl show -P MainPID {unit}); do
  for path in $(grep -s " [^ ]*/faults/{id}/[^ ]* /" /proc/$pid/mountinfo | cut -d ' ' -f 5); do
    nsenter -t $pid -m umount $path || exit
  done
done"""


def script(text: str, fault: str, unit: str = "") -> str:
    """One of these scripts, for a fault of this id and a service."""
    return text.replace("{id}", fault).replace("{unit}", unit)

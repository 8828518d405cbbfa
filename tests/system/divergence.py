"""Altering one member's data behind etcd's back: a value replaced by one of equal length in its stopped database file."""

from __future__ import annotations

import shlex

from tests.system.etcd_cluster import Cluster

DATABASE = "/var/lib/nodewise/etcd/member/snap/db"
CONFIG = "/etc/nodewise/etcd/etcd.yml"
# Pages of the database have no checksum over values: nothing but another member's data tells. Freed pages may hold the value too.
REPLACE = """import sys
path, old, new = sys.argv[1], *(word.encode() for word in sys.argv[2:])
data = open(path, "rb").read()
assert len(old) == len(new) and old in data, "the value is not in the database, or the new one has another length"
with open(path, "r+b") as file:
    file.write(data.replace(old, new))
"""
# The member would refuse to start with data that differs: for one start it is not asked to look. The file keeps its time.
UNCHECKED = f"cp -p {CONFIG} /root/etcd.yml && sed -i s/corrupt-check:.*/corrupt-check:\\ false/ {CONFIG}"
CHECKED = f"cp -p /root/etcd.yml {CONFIG} && rm /root/etcd.yml"


def alter(cluster: Cluster, node: str, key: str, value: str) -> None:
    """Stop the member, put `value` in place of the key's own, which is as long, and start it; only this member's data differs."""
    found = cluster.etcdctl(node, f"get --print-value-only {shlex.quote(key)}")
    assert len(found) == len(value) > 0, f"{key} is {found!r}: expected a value as long as {value!r}"
    cluster.root(node, "systemctl stop etcd")
    cluster.root(node, f"python3 -c {shlex.quote(REPLACE)} {DATABASE} {shlex.quote(found)} {shlex.quote(value)}")
    cluster.root(node, f"{UNCHECKED} && systemctl start etcd; code=$?; {CHECKED}; exit $code")

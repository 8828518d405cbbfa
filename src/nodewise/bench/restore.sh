#!/usr/bin/env bash
# On a node, as root: keep a stopped member's data, or put it back with the version that it belongs to.
# restore.sh keep | back VERSION [UNSTAGED]   (back removes the release UNSTAGED)
set -euo pipefail
root=/opt/nodewise/etcd data=/var/lib/nodewise/etcd kept=/var/lib/nodewise/etcd.kept

systemctl stop etcd
if [[ $1 == keep ]]; then
    cp -a "$data" "$kept"
    exit
fi
rm -rf "$data"
cp -a "$kept" "$data"
ln -sfn "releases/$2" "$root/.next"
mv -T "$root/.next" "$root/current"
if [[ -n ${3:-} ]]; then rm -rf "$root/releases/$3"; fi

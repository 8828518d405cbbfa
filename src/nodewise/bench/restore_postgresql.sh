#!/usr/bin/env bash
# On a node, as root: stop the member and install the packages of a version that is staged.
# restore_postgresql.sh VERSION
set -euo pipefail
root=/opt/nodewise/postgresql

systemctl stop patroni
ln -sfn "releases/$1" "$root/.next"
mv -T "$root/.next" "$root/current"
DEBIAN_FRONTEND=noninteractive dpkg --force-confold --force-downgrade --install \
    "$root"/current/files/postgresql-{client-,}[0-9]*.deb > /dev/null

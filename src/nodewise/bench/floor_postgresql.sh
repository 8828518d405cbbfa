#!/usr/bin/env bash
# The floor of an upgrade of PostgreSQL: what a person who trusts the cluster types. The packages are staged; nothing else is looked at.
# floor_postgresql.sh VERSION "NAME=ADDRESS ..." SSH-WORD...   (the last node leads; it prints when its switchover began and ended)
set -euo pipefail
version=$1 nodes=$2
shift 2
ssh=("$@")

on() {
    local address=${1#*=}
    shift
    "${ssh[@]}" "nodewise@$address" "$@"
}

psql="cd /; sudo runuser -u postgres -- psql -XAtc"

streams() { # PRIMARY NAME: whether it streams from there, and has replayed all
    local found
    found=$(on "$1" "$psql \"select replay_lsn >= pg_current_wal_lsn() - 8192 from pg_stat_replication
        where state = 'streaming' and application_name = '$2'\"") && [[ $found == t ]]
}

change() { # NODE PRIMARY
    on "$1" "sudo bash -c '
        set -e
        cd /opt/nodewise/postgresql
        systemctl stop patroni
        DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install releases/$version/files/postgresql-{client-,}[0-9]*.deb
        ln -sfn releases/$version .next && mv -T .next current
        systemctl start patroni
    '" > /dev/null
    until streams "$2" "${1%%=*}" 2> /dev/null; do sleep 0.05; done
}

read -r -a all <<< "$nodes"
old=${all[-1]} new=${all[0]}
for node in "${all[@]::${#all[@]}-1}"; do change "$node" "$old"; done

echo "began $(date +%s%N)"
on "$old" "sudo /opt/nodewise/patroni/patronictl switchover --leader ${old%%=*} --candidate ${new%%=*} --force" > /dev/null
until [[ $(on "$new" "$psql 'select pg_is_in_recovery()'") == f ]]; do sleep 0.05; done
echo "ended $(date +%s%N)"
change "$old" "$new"

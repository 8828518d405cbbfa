#!/usr/bin/env bash
# The floor of an upgrade: what a person who trusts the cluster types. The release is staged; nothing else is looked at.
# floor_roll.sh VERSION "ADDRESS ADDRESS ..." SSH-WORD...
set -euo pipefail
version=$1 addresses=$2
shift 2
ssh=("$@")
ctl="sudo /opt/nodewise/etcd/current/bin/etcdctl --cacert /etc/nodewise/etcd/ca.crt"
ctl+=" --cert /etc/nodewise/etcd/node.crt --key /etc/nodewise/etcd/node.key"
printf -v endpoints 'https://%s:2379,' $addresses

on() {
    local address=$1
    shift
    "${ssh[@]}" "nodewise@$address" "$@"
}

for address in $addresses; do
    on "$address" "sudo sh -c 'cd /opt/nodewise/etcd && ln -sfn releases/$version .next && mv -T .next current && systemctl restart etcd'"
    until on "$address" "$ctl --endpoints https://$address:2379 endpoint health" > /dev/null 2>&1; do sleep 0.05; done
    # Hashes are of one revision: the lowest that every member has.
    on "$address" "
        set -e
        at=\$($ctl --endpoints ${endpoints%,} endpoint status -w fields | awk '/\"Revision\"/ {print \$3}' | sort -n | head -n 1)
        hashes=\$($ctl --endpoints ${endpoints%,} endpoint hashkv --rev \"\$at\" | cut -d, -f2)
        test \"\$(echo \"\$hashes\" | wc -l)\" = $(wc -w <<< "$addresses")
        test \"\$(echo \"\$hashes\" | sort -u | wc -l)\" = 1
    "
done

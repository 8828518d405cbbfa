#!/usr/bin/env bash
# On a node, as root: wait until every member is healthy, then have the member at an address lead.
# lead.sh ADDRESS ENDPOINT,ENDPOINT,...
set -euo pipefail
address=$1 endpoints=$2
pki=/etc/nodewise/etcd
ctl() { /opt/nodewise/etcd/current/bin/etcdctl --cacert "$pki/ca.crt" --cert "$pki/node.crt" --key "$pki/node.key" "$@"; }

tries=0
until ctl --endpoints "$endpoints" endpoint health > /dev/null 2>&1; do
    if (( ++tries > 100 )); then
        echo "not every member is healthy" >&2
        exit 1
    fi
    sleep 0.1
done
status=$(ctl --endpoints "$endpoints" endpoint status)
leader=$(awk -F', ' '$5 == "true" {print $1}' <<< "$status")
chosen=$(awk -F', ' -v at="https://$address:2379" '$1 == at {print $2}' <<< "$status")
if [[ $leader != "https://$address:2379" ]]; then ctl --endpoints "$leader" move-leader "$chosen"; fi

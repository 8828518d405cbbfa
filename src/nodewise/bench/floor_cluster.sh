#!/usr/bin/env bash
# The floor of a cluster on nodes that are there: certificates, the release, a configuration, a unit, all nodes at once.
# floor_cluster.sh ARCHIVE FOLDER "NAME=ADDRESS ..." SSH-WORD...   (ARCHIVE has the release and the unit; FOLDER is empty)
set -euo pipefail
umask 077
archive=$1 nodes=$3
cd "$2"
shift 3
ssh=("$@")
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
cluster=
for node in $nodes; do cluster+=${cluster:+,}${node%%=*}=https://${node#*=}:2380; done

certificates() {
    local name=$1 address=$2
    mkdir "$name"
    cp ca.crt "$name"
    openssl req -new "${key[@]}" -subj "/CN=$name" -keyout "$name/node.key" -out "$name.csr"
    printf 'extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=DNS:localhost,DNS:%s,IP:%s,IP:127.0.0.1\n' "$name" "$address" > "$name.ext"
    openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -days 365 -extfile "$name.ext" -out "$name/node.crt"
}

configuration() {
    local name=$1 address=$2 tls
    tls='cert-file: /etc/nodewise/etcd/node.crt, key-file: /etc/nodewise/etcd/node.key'
    tls+=', trusted-ca-file: /etc/nodewise/etcd/ca.crt, client-cert-auth: true'
    cat << CONFIGURATION
name: $name
data-dir: /var/lib/nodewise/etcd
listen-client-urls: https://0.0.0.0:2379
advertise-client-urls: https://$address:2379
listen-peer-urls: https://0.0.0.0:2380
initial-advertise-peer-urls: https://$address:2380
initial-cluster: $cluster
initial-cluster-token: floor
initial-cluster-state: new
pre-vote: true
enable-grpc-gateway: true
experimental-initial-corrupt-check: true
logger: zap
client-transport-security: {$tls}
peer-transport-security: {$tls}
CONFIGURATION
}

member() {
    local name=${1%%=*} address=${1#*=}
    certificates "$name" "$address" 2> "$name.log" || { cat "$name.log" >&2 && return 1; }
    configuration "$name" "$address" > "$name/etcd.yml"
    "${ssh[@]}" "nodewise@$address" 'sudo tar --extract --directory /' < "$archive"
    tar --create --directory "$name" . | "${ssh[@]}" "nodewise@$address" "sudo sh -ec '
        useradd --system etcd
        install -d /etc/nodewise/etcd
        install -d -o etcd -g etcd -m 700 /var/lib/nodewise/etcd
        tar --extract --no-same-owner --directory /etc/nodewise/etcd
        chmod 755 /etc/nodewise/etcd
        chmod 644 /etc/nodewise/etcd/*
        chown etcd /etc/nodewise/etcd/node.key
        chmod 600 /etc/nodewise/etcd/node.key
        systemctl daemon-reload
        systemctl enable --now --quiet etcd
        cd /etc/nodewise/etcd
        until /opt/nodewise/etcd/current/bin/etcdctl --cacert ca.crt --cert node.crt --key node.key \
            --endpoints https://$address:2379 endpoint health > /dev/null 2>&1; do sleep 0.05; done
    '"
}

openssl req -x509 "${key[@]}" -days 365 -subj '/CN=floor authority' -keyout ca.key -out ca.crt 2> ca.log || { cat ca.log >&2 && exit 1; }
pids=()
for node in $nodes; do
    member "$node" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done

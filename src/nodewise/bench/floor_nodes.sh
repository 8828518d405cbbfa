#!/usr/bin/env bash
# The floor of `testnet up`: all nodes at once by a bare `podman run`, until the SSH server of each answers.
# floor_nodes.sh IMAGE NETWORK LABEL KEYS NAME=ADDRESS...   (the network and the keys are there; KEYS has a folder for each node)
set -euo pipefail
image=$1 network=$2 label=$3 keys=$4
shift 4

start() {
    local name=${1%%=*} address=${1#*=} banner=
    podman run --detach --pull=never --name "$name" --hostname "$name" --systemd=always --log-driver k8s-file \
        --cap-add NET_ADMIN,SYS_ADMIN,SYS_PTRACE --network "$network" --ip "$address" --label "$label" \
        --mount "type=bind,src=$keys/$name,dst=/etc/testnet,ro" "$image" > /dev/null
    until [[ $banner == SSH-* ]]; do
        sleep 0.02
        { read -r -t 1 banner < "/dev/tcp/$address/22"; } 2> /dev/null || true
    done
}

pids=()
for node in "$@"; do
    start "$node" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done

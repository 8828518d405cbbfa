#!/usr/bin/env bash
# The floor of a smoke run: each script by an ssh of its own, one after the other on a node, all nodes at once.
# floor_smoke.sh FOLDER "ADDRESS ADDRESS ..." SSH-WORD...
set -euo pipefail
folder=$1 addresses=$2
shift 2

scripts() {
    local script
    for script in "$folder"/*; do "$@" sh -s < "$script"; done
}

pids=()
for address in $addresses; do
    scripts "$@" "nodewise@$address" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done

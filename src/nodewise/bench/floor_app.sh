#!/usr/bin/env bash
# The floor of an upgrade of the example: what a person types who trusts it. The release is staged.
# floor_app.sh VERSION "ADDRESS ADDRESS ..." SSH-WORD...
set -euo pipefail
version=$1 addresses=$2
shift 2

for address in $addresses; do
    # The new release is asked whether it starts with these settings, as the description has it.
    "$@" "nodewise@$address" "sudo sh -c '
        set -e
        cd /opt/nodewise/greeter
        releases/$version/bin/greeter --config /etc/nodewise/greeter/greeter.json --check
        ln -sfn releases/$version .next && mv -T .next current && systemctl restart greeter'" > /dev/null
    until [[ $(curl --silent "http://$address:8080/health") == ok ]]; do sleep 0.05; done
    [[ $(curl --silent "http://$address:8080/version") == *"\"$version\""* ]]
done

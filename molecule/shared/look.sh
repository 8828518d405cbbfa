# All that a change leaves on a node, a line each: files, links and folders with their owners, and the services that run. Not the data
# that services keep, what package managers were asked, and Ansible's own files. A run takes a lease and gives it back, for which
# state.json is written anew with a higher fence: all else that it says counts.
find / /tmp -xdev \( -path '/var/lib/nodewise/*/*' -o -path /var/cache/nodewise -o -name 'ansible_*_payload_*' \) -prune \
  -o -type d -printf '%p/ %m %u:%g\n' -o -type l -printf '%p -> %l\n' \
  -o -path '/opt/nodewise/*/state.json' -printf '%p %m %u:%g\n' -exec sed -e 's/"fence": *[0-9]*/"fence": N/' -e '$a\' '{}' ';' \
  -o -printf '%p %m %u:%g %s %T@\n' | sort
systemctl show --type=service --state=running --property=Id,MainPID,ExecMainStartTimestampMonotonic '*'

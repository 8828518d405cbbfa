#!/bin/sh
# Makes a node out of a Debian root file system. Runs inside it, as root, once, when the image is built.
set -eu

useradd --create-home --shell /bin/bash nodewise
printf 'nodewise ALL=(ALL:ALL) NOPASSWD: ALL\n' > /etc/sudoers.d/nodewise
chmod 0440 /etc/sudoers.d/nodewise

# Host keys come from the controller with each container, so that they are known before the first connection.
rm -f /etc/ssh/ssh_host_*
install -d -o nodewise -g nodewise -m 0700 /home/nodewise/.ssh
install -d /usr/local/lib/testnet /etc/systemd/system/ssh.service.d /etc/systemd/journald.conf.d
cat > /usr/local/lib/testnet/keys <<'KEYS'
#!/bin/sh
set -eu
install -o root -g root -m 0600 /etc/testnet/ssh_host_ed25519_key /etc/ssh/
install -o nodewise -g nodewise -m 0600 /etc/testnet/authorized_keys /home/nodewise/.ssh/
KEYS
chmod 0755 /usr/local/lib/testnet/keys
cat > /etc/systemd/system/ssh.service.d/testnet.conf <<'UNIT'
[Unit]
# Until then logins are refused, so a banner would promise too much.
After=systemd-user-sessions.service
[Service]
ExecStartPre=
ExecStartPre=/usr/local/lib/testnet/keys
UNIT
cat > /etc/ssh/sshd_config.d/testnet.conf <<'SSHD'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UseDNS no
MaxStartups 100
MaxSessions 100
SSHD
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\n' > /etc/systemd/journald.conf.d/testnet.conf

# What a node that lives for minutes does not need; each of them delays the boot of every node.
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer getty.target console-getty.service systemd-logind.service systemd-journal-flush.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service dev-hugepages.mount sys-fs-fuse-connections.mount
systemctl set-default multi-user.target
rm -f /etc/update-motd.d/*
touch /etc/default/locale  # PAM looks for it at each login and complains
: > /etc/machine-id

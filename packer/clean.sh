#!/bin/bash
# What an image must not have, removed: the last thing that is done to a machine before it becomes one; as root.
# `runctl-agent doctor --image` looks for the same. A machine in use is refused: it has a run spec, and an agent.

set -euo pipefail

root=${RUNCTL_ROOT:-} # for tests, a folder that stands for /
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
  printf 'clean.sh: nothing was removed: only root may\n  mend: sudo %s\n' "$0" >&2
  exit 1
fi
running() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
if running && systemctl -q is-active runctl-agent.service; then
  printf 'clean.sh: nothing was removed: an agent runs here, and its journal knows what is not saved yet\n' >&2
  printf '  mend: systemctl stop runctl-agent.path runctl-agent.service, if this is to become an image\n' >&2
  exit 1
fi

# Who writes logs would write on: they are back at the next boot.
if running; then
  systemctl stop syslog.socket rsyslog.service auditd.service 2>/dev/null || true # not every image has them
  journalctl -q --rotate || true
fi
if [ -z "$root" ]; then
  ! command -v cloud-init >/dev/null || cloud-init clean --logs --seed
  ! command -v apt-get >/dev/null || apt-get -q clean
  ! command -v dnf >/dev/null || dnf -q clean all
fi

rm -rf "$root/etc/runctl/run.yaml" "$root/var/lib/runctl" "$root/run/runctl" "$root"/var/lib/cloud/instance{,s}

archived=(-name '*.journal' -o -name '*.journal~' -o -name '*.gz' -o -name '*.[0-9]' -o -name '*.old')
for folder in "$root/var/log" "$root/run/log"; do
  [ -d "$folder" ] || continue
  # No -xdev: an image's logs may be a file system of their own. What a daemon has open is emptied, as it writes on.
  find "$folder" -type f \( "${archived[@]}" \) -delete
  find "$folder" -type f -exec truncate -s 0 {} +
done

# Each machine makes its own at its first boot (machine-id(5), sshd-keygen or cloud-init).
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root"/etc/ssh/ssh_host_*_key{,.pub} "$root/var/lib/systemd/random-seed"

while IFS=: read -r _ _ _ _ _ home _; do
  home=$root$home
  [ -d "$home" ] || continue
  rm -rf "$home"/.ssh/{authorized_keys,authorized_keys2,known_hosts} "$home"/.{bash,python,zsh}_history "$home/.lesshst" \
    "$home/.wget-hsts" "$home/.cache/pip" "$home/.aws"
done <"$root/etc/passwd"
printf 'clean.sh: no key, no id, no log, no run\n'

# shellcheck shell=bash
# shellcheck disable=SC2154 # what install.sh was told
# Units, limits, and who must keep off them; and taking all of it off again. Part of install.sh.

etc=$root/etc
unit_dir=$etc/systemd/system
tmpfiles_dir=$root/usr/lib/tmpfiles.d
login_conf=$unit_dir/runctl-agent.service.d/10-login-user.conf

# Files of ours outside of /opt; `uninstall_all` takes these away.
ours() {
  printf '%s\n' "$unit_dir"/runctl-agent.service "$unit_dir"/runctl-agent.path "$login_conf" "$tmpfiles_dir"/runctl*.conf \
    "$etc"/systemd/system-preset/50-runctl.preset "$etc"/systemd/journald.conf.d/runctl.conf "$etc"/sysctl.d/60-runctl.conf \
    "$etc"/needrestart/conf.d/runctl.conf "$etc"/apt/apt.conf.d/99runctl \
    "$root"/usr/local/bin/runctl-agent "$root"/usr/local/bin/runctl
}

install_system() {
  local file name
  mkdir -p "$etc/runctl"
  changed=no
  for file in "$units"/*.service "$units"/*.path; do
    [ ! -f "$file" ] || put "$unit_dir/${file##*/}" <"$file"
  done
  name_login_user
  new_units=$changed
  for file in "$units"/*.tmpfiles; do
    name=${file##*/}
    [ ! -f "$file" ] || put "$tmpfiles_dir/${name%.tmpfiles}.conf" <"$file"
  done
  # An image whose machine-id says `uninitialized` has its units set by presets at its first boot (machine-id(5)); Amazon Linux's
  # last preset disables whatever none names.
  put "$etc/systemd/system-preset/50-runctl.preset" <<<$'enable runctl-agent.service\nenable runctl-agent.path'
  # The agent writes to the journal and to no log file. A training may write a lot there: the disk is for checkpoints.
  put "$etc/systemd/journald.conf.d/runctl.conf" <<<$'[Journal]\nSystemMaxUse=256M'
  # One watch a directory of checkpoints, one instance an agent (inotify(7)); doctor asks for the same.
  put "$etc/sysctl.d/60-runctl.conf" <<<$'fs.inotify.max_user_watches = 1048576\nfs.inotify.max_user_instances = 1024'
  if [ -d "$etc/apt" ]; then
    # needrestart(1) restarts services after upgrades, and would restart a training's unit.
    # shellcheck disable=SC2016 # Perl's variable
    put "$etc/needrestart/conf.d/runctl.conf" <<<'$nrconf{override_rc}{qr(^runctl-)} = 0;'
    put "$etc/apt/apt.conf.d/99runctl" <<<$'// No machine reboots under a training.\nUnattended-Upgrade::Automatic-Reboot "false";'
  fi
}

name_login_user() {
  local name
  for name in ubuntu ec2-user admin; do
    if [ -z "$login_user" ] && grep -q "^$name:" "$etc/passwd"; then login_user=$name; fi
  done
  [ -z "$login_user" ] || put "$login_conf" <<<$'[Service]\nEnvironment=RUNCTL_LOGIN_USER='"$login_user"
}

# A file from stdin, in one step, and only if it differs: `changed` says yes then.
put() {
  mkdir -p "${1%/*}"
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1" && changed=yes; fi
}

running() { [ -z "$root" ] && [ -d /run/systemd/system ]; } # sd_booted(3); not so in a chroot

# Enabled, and begun: an agent that runs is restarted only where it, or its unit, is another one now.
begin() {
  local before=$1 target=$2 file
  ctl enable runctl-agent.service
  [ ! -f "$unit_dir/runctl-agent.path" ] || ctl enable runctl-agent.path
  running || return 0
  systemctl daemon-reload
  sysctl -q -p "$etc/sysctl.d/60-runctl.conf" 2>/dev/null || say "the limits of inotify could not be set now: the next boot sets them"
  for file in "$tmpfiles_dir"/runctl*.conf; do
    [ ! -f "$file" ] || systemd-tmpfiles --create "$file"
  done
  # Not waited for: from user-data cloud-init itself would be what it waits for.
  [ ! -f "$unit_dir/runctl-agent.path" ] || systemctl --no-block start runctl-agent.path
  if { [ "$before" != "$target" ] || [ "$new_units" = yes ]; } && systemctl -q is-active runctl-agent.service; then
    say "restarting the agent; the training goes on"
    systemctl --no-block restart runctl-agent.service
  elif [ -e "$etc/runctl/run.yaml" ]; then
    systemctl --no-block start runctl-agent.service
  fi
}

ctl() { systemctl ${root:+"--root=$root"} --quiet "$@"; }

# The one before stays, to go back to; of older ones those that no process runs from are removed.
forget_old() {
  local old
  for old in "$opt"/runctl-[0-9]*-*; do
    if [ "$old" = "$2" ] || [ "$old" = "$1" ] || in_use "$old"; then continue; fi
    say "removing $old"
    rm -rf "$old"
  done
}

in_use() { # its python is named in the command line, or its libraries are mapped
  grep -qsaF "$1/" /proc/[0-9]*/cmdline /proc/[0-9]*/maps
}

# The training's own unit is left running. Checkpoints, journal and spec stay where they are, but for --purge.
uninstall_all() {
  local file
  if running; then systemctl stop runctl-agent.path runctl-agent.service 2>/dev/null || true; fi # either may not be there
  ctl disable runctl-agent.path runctl-agent.service 2>/dev/null || true
  while read -r file; do rm -f "$file"; done < <(ours)
  rmdir --ignore-fail-on-non-empty "$etc"/systemd/journald.conf.d "$etc"/systemd/system-preset "$etc"/needrestart/conf.d \
    "$etc"/needrestart "${login_conf%/*}" 2>/dev/null || true
  [ ! -L "$opt/runctl" ] || rm "$opt/runctl"
  rm -rf "$opt"/runctl-[0-9]*-* "$opt"/runctl-python-*
  if [ "$purge" = yes ]; then rm -rf "$etc/runctl" "$root/var/lib/runctl" "$root/run/runctl"; fi
  ! running || systemctl daemon-reload
  say "runctl is uninstalled; /etc/runctl and /var/lib/runctl are $([ "$purge" = yes ] && echo gone || echo kept)"
}

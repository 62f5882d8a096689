#!/usr/bin/env bash
# Puts the runctl agent on a machine with systemd: by Packer, by hand, or from user-data. Again is an upgrade in place.
#
#   install.sh --wheel FILE [--wheels DIR] [--units DIR] [--requirements FILE] [--login-user NAME]
#   install.sh --uninstall      what was installed goes; /etc/runctl and /var/lib/runctl stay
#   install.sh --clean          what an image must not have goes: for the last step of a build
#
#   --wheel         runctl-*.whl
#   --wheels        a folder with the wheel of every requirement: nothing is fetched
#   --units         default: ../systemd, beside this script's folder
#   --requirements  default: requirements.lock in this script's folder; every hash is compared
#   --login-user    whose trainings these are; default: the first of ubuntu, ec2-user, admin that there is
#
# For tests: RUNCTL_ROOT, a directory that stands for /.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=${RUNCTL_ROOT:-}
OPT=$ROOT/opt
UNIT_DIR=$ROOT/etc/systemd/system
PYTHON_VERSION=3.12.16 # where the distribution has none that is new enough
SERVICES="autoscaling ec2 s3 sts" # whose models are kept: all others are 20 MB that no agent reads

say() { echo "install.sh: $*"; }
die() {
  echo "install.sh: $1: $2" >&2
  echo "  mend: $3" >&2
  exit 1
}

main() {
  WHEEL='' WHEELS='' UNITS=$HERE/../systemd REQUIREMENTS=$HERE/requirements.lock LOGIN_USER='' ACTION=install
  while [ $# -gt 0 ]; do
    case $1 in
      --wheel | --wheels | --units | --requirements | --login-user)
        [ $# -ge 2 ] || die "$1" "it needs a value" "$0 --help"
        case $1 in
          --wheel) WHEEL=$2 ;;
          --wheels) WHEELS=$2 ;;
          --units) UNITS=$2 ;;
          --requirements) REQUIREMENTS=$2 ;;
          --login-user) LOGIN_USER=$2 ;;
        esac
        shift 2
        ;;
      --uninstall | --clean) ACTION=${1#--} && shift ;;
      -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
      *) die "$1" "no such option" "$0 --help" ;;
    esac
  done
  [ -n "$ROOT" ] || [ "$(id -u)" = 0 ] || die "nothing was done" "only root may install" "sudo $0 …"
  "do_$ACTION"
}

do_install() {
  [ -f "$WHEEL" ] || die "--wheel ${WHEEL:-(none)}" "there is no such file" "build it: python3 -m pip wheel --no-deps -w dist ."
  [ -f "$REQUIREMENTS" ] || die "$REQUIREMENTS" "there is no such file" "--requirements FILE"
  [ -f "$UNITS/runctl-agent.service" ] || die "$UNITS" "it has no runctl-agent.service" "--units DIR, the folder systemd/ of the repository"
  find_python
  local name version target
  name=$(basename "$WHEEL") version=$(basename "$WHEEL" | cut -d- -f2)
  target=runctl-$version-$(cat "$WHEEL" "$REQUIREMENTS" | sha256sum | cut -c1-12)
  if [ -f "$OPT/$target/.complete" ]; then
    say "$name is there already, in /opt/$target"
  else
    build "$OPT/$target"
  fi
  put_units
  # In one step: whoever starts the agent meanwhile finds the one or the other.
  ln -sfn "$target" "$OPT/.runctl.new" && mv -T "$OPT/.runctl.new" "$OPT/runctl"
  mkdir -p "$ROOT/usr/local/bin" "$ROOT/etc/runctl"
  ln -sfn /opt/runctl/bin/runctl "$ROOT/usr/local/bin/runctl"
  ln -sfn /opt/runctl/bin/runctl-agent "$ROOT/usr/local/bin/runctl-agent"
  keep_others_off
  start_units
  forget_older "$target"
  say "$("$OPT/runctl/bin/runctl-agent" --version) is installed"
}

# PYTHON becomes an interpreter of 3.11.4 or newer that can make virtual environments.
find_python() {
  if pick_python; then return; fi
  local id
  id=$(. "$ROOT/etc/os-release" && echo "${ID:-} ${ID_LIKE:-}")
  case " $id " in
    *" debian "* | *" ubuntu "*) apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y python3 python3-venv python3-pip ;;
    *" amzn "*) dnf -y -q install python3.12 python3.12-pip ;;
    *) die "there is no Python 3.11.4 or newer" "this script knows Debian, Ubuntu and Amazon Linux only, not: $id" "install python3.12 with venv, then run it again" ;;
  esac
  if pick_python; then return; fi
  standalone_python
}

pick_python() {
  local candidate
  for candidate in python3.13 python3.12 python3.11 python3; do
    if PYTHON=$(command -v "$candidate") &&
      "$PYTHON" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11, 4))' 2>/dev/null &&
      { [ "$(basename "$PYTHON")" != python3 ] || [ "$("$PYTHON" -c 'import sys; print(sys.prefix == sys.base_prefix)')" = True ]; }; then
      return 0
    fi
  done
  # Debian 12 has 3.11.2, whose tarfile lacks nothing that is used where the data filter was backported.
  if PYTHON=$(command -v python3) && "$PYTHON" -c 'import sys, venv, ensurepip, tarfile; tarfile.data_filter; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    return 0
  fi
  return 1
}

# A standalone CPython by uv, which knows its hash; uv itself comes by the hash in uv.lock.
standalone_python() {
  [ -z "$WHEELS" ] || die "there is no Python 3.11.4 or newer" "and with --wheels nothing is fetched" "install one, then run it again"
  local fetched
  fetched=$(mktemp -d)
  python3 -m pip install -q --disable-pip-version-check --require-hashes --no-deps --target "$fetched" -r "$HERE/uv.lock"
  UV_PYTHON_INSTALL_DIR=$OPT/runctl-python "$fetched/bin/uv" python install -q --no-bin "$PYTHON_VERSION"
  PYTHON=$(UV_PYTHON_INSTALL_DIR=$OPT/runctl-python "$fetched/bin/uv" python find --managed-python "$PYTHON_VERSION")
  rm -rf "$fetched"
  say "this release has no Python 3.11: a standalone CPython $PYTHON_VERSION is in /opt/runctl-python"
}

# A virtual environment, whole or not there.
build() {
  local pip=("$1/bin/python" -m pip install -q --disable-pip-version-check --no-cache-dir)
  [ -z "$WHEELS" ] || pip+=(--no-index --find-links "$WHEELS")
  rm -rf "$1"
  mkdir -p "$OPT"
  "$PYTHON" -m venv "$1"
  "${pip[@]}" --require-hashes --no-deps -r "$REQUIREMENTS"
  "${pip[@]}" --no-deps --no-index "$WHEEL"
  trim "$1"
  "$1/bin/python" -m compileall -q "$1/lib" || true # what can't be compiled is compiled when it is used, or is a test of somebody's
  "$1/bin/python" "$HERE/sbom.py" >"$1/sbom.json"
  "$1/bin/runctl-agent" --version >/dev/null || die "$1" "what was installed does not start" "$1/bin/runctl-agent --version"
  touch "$1/.complete"
}

# The models of services that the agent never calls.
trim() {
  local data folder
  for data in "$1"/lib/python*/site-packages/botocore/data; do
    for folder in "$data"/*/; do
      case " $SERVICES " in
        *" $(basename "$folder") "*) ;;
        *) rm -rf "$folder" ;;
      esac
    done
  done
}

put_units() {
  local unit
  mkdir -p "$UNIT_DIR"
  for unit in "$UNITS"/*.service "$UNITS"/*.path; do
    if [ -f "$unit" ]; then install -m 0644 "$unit" "$UNIT_DIR/"; fi
  done
  for unit in "$UNITS"/*.tmpfiles; do
    if [ -f "$unit" ]; then install -D -m 0644 "$unit" "$ROOT/usr/lib/tmpfiles.d/$(basename "$unit" .tmpfiles).conf"; fi
  done
  if [ -z "$LOGIN_USER" ]; then
    for unit in ubuntu ec2-user admin; do
      if [ -z "$LOGIN_USER" ] && grep -q "^$unit:" "$ROOT/etc/passwd"; then LOGIN_USER=$unit; fi
    done
  fi
  if [ -n "$LOGIN_USER" ]; then
    mkdir -p "$UNIT_DIR/runctl-agent.service.d"
    printf '[Service]\nEnvironment=RUNCTL_LOGIN_USER=%s\n' "$LOGIN_USER" >"$UNIT_DIR/runctl-agent.service.d/10-login-user.conf"
  fi
}

# Who restarts services, or machines, asks nobody about trainings.
keep_others_off() {
  if [ -d "$ROOT/etc/needrestart" ]; then
    mkdir -p "$ROOT/etc/needrestart/conf.d"
    echo '$nrconf{override_rc}{qr(^runctl-)} = 0;' >"$ROOT/etc/needrestart/conf.d/runctl.conf"
  fi
  if [ -d "$ROOT/etc/apt/apt.conf.d" ]; then
    echo 'Unattended-Upgrade::Automatic-Reboot "false";' >"$ROOT/etc/apt/apt.conf.d/90runctl"
  fi
  mkdir -p "$ROOT/etc/systemd/journald.conf.d"
  printf '[Journal]\nSystemMaxUse=256M\n' >"$ROOT/etc/systemd/journald.conf.d/runctl.conf"
}

start_units() {
  local enabled=(runctl-agent.service)
  if [ -f "$UNIT_DIR/runctl-agent.path" ]; then enabled+=(runctl-agent.path); fi
  systemctl ${ROOT:+"--root=$ROOT"} --quiet enable "${enabled[@]}"
  if [ -z "$ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if [ -f "$UNIT_DIR/runctl-agent.path" ]; then systemctl start runctl-agent.path; fi
    systemctl try-restart runctl-agent.service # the training is a unit of its own, and goes on
    if [ -f /etc/runctl/run.yaml ]; then systemctl start --no-block runctl-agent.service; fi
  fi
}

# The version before stays: an agent may still be ending in it, and it is the way back.
forget_older() {
  local found
  ls -dt "$OPT"/runctl-[0-9]* | while read -r found; do
    if [ "$(basename "$found")" != "$1" ]; then echo "$found"; fi
  done | tail -n +2 | xargs -r rm -rf
}

do_uninstall() {
  if [ -z "$ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl stop runctl-agent.path runctl-agent.service 2>/dev/null || true # neither may be there
  fi
  systemctl ${ROOT:+"--root=$ROOT"} --quiet disable runctl-agent.service runctl-agent.path 2>/dev/null || true
  rm -rf "$UNIT_DIR"/runctl-agent.{service,path,service.d} "$ROOT"/usr/lib/tmpfiles.d/runctl*.conf "$OPT"/runctl "$OPT"/runctl-*
  rm -f "$ROOT"/usr/local/bin/runctl{,-agent} "$ROOT"/etc/needrestart/conf.d/runctl.conf "$ROOT"/etc/apt/apt.conf.d/90runctl
  rm -f "$ROOT"/etc/systemd/journald.conf.d/runctl.conf
  if [ -z "$ROOT" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  say "runctl is gone; /etc/runctl and /var/lib/runctl are left"
}

do_clean() {
  if command -v cloud-init >/dev/null && [ -z "$ROOT" ]; then cloud-init clean --logs --seed; fi
  rm -rf "$ROOT"/etc/runctl/run.yaml "$ROOT"/var/lib/runctl "$ROOT"/var/lib/cloud/instance{,s} "$ROOT"/root/.cache "$ROOT"/home/*/.cache
  rm -f "$ROOT"/etc/ssh/ssh_host_*_key{,.pub} "$ROOT"/{root,home/*}/.ssh/authorized_keys "$ROOT"/{root,home/*}/.*_history
  : >"$ROOT/etc/machine-id" # empty: made at the first boot (machine-id(5))
  rm -f "$ROOT/var/lib/dbus/machine-id" "$ROOT/var/lib/systemd/random-seed"
  find "$ROOT/var/log" -type f -delete
  say "clean: no key, no id, no log, no run"
}

main "$@"

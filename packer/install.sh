#!/bin/bash
# Puts the runctl agent on a machine, or takes it off: by Packer, by hand, from user-data. Any systemd machine; as root.
#
#   install.sh --wheel FILE [--wheels DIR] [--units DIR] [--requirements FILE] [--python PATH] [--login-user NAME]
#   install.sh --uninstall [--purge]      what it saved and its spec stay, but for --purge
#   install.sh --clean                    what an image must not have: see packer/clean.sh beside it
#
#   --wheel FILE         runctl's wheel (`python -m build --wheel`). Default: the one dist/runctl-*.whl of this checkout
#   --wheels DIR         a folder with the wheels of all that it needs: nothing is downloaded. Default: from PyPI, by hash
#   --units DIR          the units. Default: systemd/ of this checkout
#   --requirements FILE  versions and hashes of all that it needs. Default: requirements.lock beside this script
#   --python PATH        this Python, 3.11.4 or newer, and no other. Default: found, else installed
#   --login-user NAME    whose trainings these are. Default: the first of ubuntu, ec2-user, admin that there is
#
# /opt/runctl is a link to /opt/runctl-VERSION-HASH. Without a run spec the agent is enabled and waits.
# Twice is once: where the same wheel, versions and Python are installed, nothing is built and nothing restarted. Another version
# is built beside the old one, the link is moved in one step, and the agent alone is restarted: the training goes on.
# Exit codes: 0 done, 2 usage, 1 anything else; what was installed before is then in use as before.
# For tests: RUNCTL_ROOT, a folder that stands for /.

set -euo pipefail
umask 022

root=${RUNCTL_ROOT:-}
opt=$root/opt
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=python.sh
. "$here/python.sh"
# shellcheck source=system.sh
. "$here/system.sh"

say() { printf 'install.sh: %s\n' "$*"; }

# What happened, why, and the command that mends it; the exit code last.
fail() {
  printf 'install.sh: %s: %s\n  mend: %s\n' "$1" "$2" "$3" >&2
  exit "${4:-1}"
}

usage() { fail "$1" "$2" "$here/install.sh --help" 2; }

main() {
  local action=install name
  # shellcheck disable=SC2034 # the parts beside this script read them
  wheel='' wheels='' units=$here/../systemd requirements=$here/requirements.lock python='' login_user='' purge=no
  while [ $# -gt 0 ]; do
    case $1 in
      --wheel | --wheels | --units | --requirements | --python | --login-user)
        [ $# -ge 2 ] || usage "$1 stands alone" "it needs a value"
        name=${1#--}
        printf -v "${name//-/_}" %s "$2"
        shift
        ;;
      --uninstall | --clean) action=${1#--} ;;
      --purge) purge=yes ;;
      -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$here/install.sh" && exit 0 ;;
      *) usage "there is no option $1" "install.sh knows those in its head" ;;
    esac
    shift
  done
  [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "nothing was changed" "only root may" "sudo $0"
  case $action in
    install) install_all ;;
    uninstall) uninstall_all ;;
    clean) exec "$here/clean.sh" ;;
  esac
}

install_all() {
  find_wheel
  [ -f "$requirements" ] || usage "there are no versions to install" "$requirements is no file"
  [ -f "$units/runctl-agent.service" ] || usage "there are no units to install" "$units has no runctl-agent.service"
  [ -z "$wheels" ] || [ -d "$wheels" ] || usage "nothing can be taken from $wheels" "it is no folder"
  find_python
  local version target before
  version=$(wheel_version)
  target=$opt/runctl-$version-$(identity)
  before=$(readlink -f "$opt/runctl" || true)
  if [ -e "$opt/runctl" ] && [ ! -L "$opt/runctl" ]; then
    fail "$opt/runctl was left alone" "it is no link of install.sh's" "mv $opt/runctl $opt/runctl.old"
  fi
  if [ -f "$target/.complete" ]; then
    say "$target is there already"
  else
    build "$target"
  fi
  # In one step: whoever starts the agent meanwhile finds the one or the other.
  ln -sfn "${target##*/}" "$opt/.runctl.new"
  mv -T "$opt/.runctl.new" "$opt/runctl"
  mkdir -p "$root/usr/local/bin"
  ln -sfn /opt/runctl/bin/runctl-agent "$root/usr/local/bin/runctl-agent"
  ln -sfn /opt/runctl/bin/runctl "$root/usr/local/bin/runctl"
  install_system
  begin "$before" "$target"
  forget_old "$before" "$target"
  say "$("$opt/runctl/bin/runctl-agent" --version) is installed: $target"
}

find_wheel() {
  if [ -z "$wheel" ]; then
    local found=("$here"/../dist/runctl-*.whl)
    [ -f "${found[0]}" ] || usage "there is no wheel to install" "neither --wheel nor $here/../dist has one"
    [ ${#found[@]} = 1 ] || usage "which wheel?" "there are ${#found[@]} in $here/../dist, say --wheel"
    wheel=${found[0]}
  fi
  case $wheel in
    */runctl-*.whl | runctl-*.whl) [ -f "$wheel" ] || usage "nothing can be installed from $wheel" "it is no file" ;;
    *) usage "nothing can be installed from $wheel" "the name of a wheel of runctl begins with runctl- and ends with .whl" ;;
  esac
}

wheel_version() { # runctl-0.1.0-py3-none-any.whl
  local name=${wheel##*/}
  name=${name#runctl-}
  printf %s "${name%%-*}"
}

# Twelve digits for what makes an installation: the wheel, the versions, the Python, and how it is built.
identity() {
  { cat "$wheel" "$requirements" "$here/trim.py" "$here/sbom.py" && "$python" -VV && printf %s "$python"; } | sha256sum | cut -c1-12
}

# A whole new environment; what an earlier try left half made is made anew.
build() {
  local target=$1 pip=("$1/bin/python" -m pip --isolated --disable-pip-version-check --no-cache-dir -q install --no-deps)
  say "building $target by $("$python" -V)"
  rm -rf "$target"
  mkdir -p "$opt"
  trap 'rm -rf "$building"' EXIT
  building=$target
  "$python" -m venv "$target"
  local from=()
  [ -z "$wheels" ] || from=(--no-index --find-links "$wheels")
  "${pip[@]}" --require-hashes --only-binary :all: "${from[@]}" -r "$requirements" ||
    fail "$target could not be built" "not everything in $requirements can be had${wheels:+ from $wheels}" \
      "python3 -m pip download --require-hashes -r $requirements -d DIR, on a machine with a network; then --wheels DIR"
  "${pip[@]}" --no-index "$wheel" || fail "$target could not be built" "$wheel can't be installed" "build the wheel again"
  "$target/bin/python" -I "$here/trim.py"
  "$target/bin/python" -I "$here/sbom.py" "$requirements" >"$target/sbom.json"
  # Nothing installs into it later: the next version is an environment of its own.
  "$target/bin/python" -m pip --isolated -q uninstall -y pip setuptools 2>/dev/null || true
  "$target/bin/runctl-agent" --version >/dev/null
  : >"$target/.complete"
  trap - EXIT
}

main "$@"

# shellcheck shell=bash
# shellcheck disable=SC2154 # what install.sh was told
# A Python for the agent: found, else installed as the distribution does it, else a standalone one by its hash. Part of install.sh.

# The standalone CPython of python-build-standalone: needs glibc 2.17 and nothing else. Sums as uv 0.13.9 has them (its
# download-metadata.json): it names them when a mirror of ours gives it another archive.
cpython_version=3.12.16
cpython_release=20261110
cpython_from=https://github.com/astral-sh/python-build-standalone/releases/download
cpython_sha256_x86_64=6a9e62dad033790aef722dbd370e0ce76ce17b73627ba3ae679f537049350b39
cpython_sha256_aarch64=b6a41defec4975d94b4ff1950236e7383e5c02ba40ea48c9ec33c66087a35aab

# Sets `python`. Raises by fail().
find_python() {
  if [ -n "$python" ]; then
    usable "$python" || fail "$python can't be used" "it is older than 3.11.4, or has no venv and ensurepip" "--python PATH, or none"
    return
  fi
  search && return
  from_distribution
  search && return
  standalone
}

# 3.11.4 (pyproject.toml) brought tarfile's filters.
usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11, 4))' 2>/dev/null
}

# The newest on PATH that we are tested with, else the system's own; one within a virtual environment is somebody's.
search() {
  local name found
  for name in python3.13 python3.12 python3.11 python3; do
    found=$(command -v "$name") || continue
    if usable "$found" && "$found" -c 'import sys; sys.exit(sys.prefix != sys.base_prefix)'; then
      python=$found
      return 0
    fi
  done
  return 1
}

# Ubuntu 24.04 has 3.12, Debian 13 has 3.13; Debian 12 has 3.11.2, and Ubuntu 22.04's own 3.11 is a release candidate.
from_distribution() {
  if command -v apt-get >/dev/null; then
    local id version
    id=$(os_release ID)
    version=$(os_release VERSION_ID)
    case $id:$version in
      ubuntu:2[0123].* | debian:1[012]) return 0 ;;
    esac
    say "apt-get installs python3 and python3-venv"
    export DEBIAN_FRONTEND=noninteractive
    # At a first boot others are at it, too: nothing waits for their lock of the lists, and the lists that there are may do.
    apt-get -q update || say "apt-get could not update its lists"
    apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3 python3-venv || say "apt-get could not"
  elif command -v dnf >/dev/null; then
    say "dnf installs python3.12, or else python3.11"
    if ! dnf -q -y install python3.12 && ! dnf -q -y install python3.11; then say "dnf could not"; fi
  fi
}

os_release() { # of the file os-release(5); empty where it says nothing
  # shellcheck source=/dev/null
  (. "$root/etc/os-release" && eval "printf %s \"\${$1:-}\"")
}

standalone() {
  local arch sum name archive home
  arch=$(uname -m)
  case $arch in
    x86_64) sum=$cpython_sha256_x86_64 ;;
    aarch64) sum=$cpython_sha256_aarch64 ;;
    *) fail "no Python was found" "there is none to download for $arch" "--python PATH of 3.11.4 or newer" ;;
  esac
  home=$opt/runctl-python-$cpython_version
  python=$home/bin/python3
  if [ -f "$home/.complete" ] && usable "$python"; then return 0; fi
  name=cpython-$cpython_version+$cpython_release-$arch-unknown-linux-gnu-install_only_stripped.tar.gz
  archive=$wheels/$name
  if [ -z "$wheels" ] || [ ! -f "$archive" ]; then
    archive=$(mktemp)
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '$archive'" EXIT
    download "$cpython_from/$cpython_release/$name" "$archive"
  fi
  printf '%s  %s\n' "$sum" "$archive" | sha256sum --check --status ||
    fail "$name was not unpacked" "its SHA-256 is not $sum" "download it again, by another way"
  rm -rf "$home"
  mkdir -p "$home"
  tar -xzf "$archive" -C "$home" --strip-components 1 --no-same-owner
  [ "$archive" = "$wheels/$name" ] || rm "$archive" # what is left in /tmp is in the image
  usable "$python" || fail "$python does not run" "$name is for another machine" "--python PATH of 3.11.4 or newer"
  : >"$home/.complete"
}

download() { # URL FILE
  local mend="put ${1##*/} into the folder given by --wheels, or say --python PATH of 3.11.4 or newer"
  say "downloading $1"
  if command -v curl >/dev/null; then
    curl -fsSL --proto =https --retry 3 -o "$2" "$1" || fail "no Python was found" "curl can't download one" "$mend"
  elif command -v wget >/dev/null; then
    wget -q --https-only -O "$2" "$1" || fail "no Python was found" "wget can't download one" "$mend"
  else
    fail "no Python was found" "there is neither curl nor wget to download one" "$mend"
  fi
}

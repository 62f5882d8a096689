"""A distribution that stands in for a real one: a folder for /, commands that note their calls, and Pythons of any version.

What install.sh finds on its PATH is a folder of its own: the host's plain tools, and the stand-ins. Whatever decides (versions,
hashes, links, files) is the script's own doing; only what it would bring from elsewhere is made up.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TOOLS = (
    *("bash", "cat", "chmod", "cmp", "cp", "cut", "dirname", "find", "grep", "gzip", "id", "ln", "mkdir", "mktemp", "mv"),
    *("readlink", "rm", "rmdir", "sed", "sha256sum", "sh", "tar", "touch"),
)
INTERPRETER = os.path.join(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")

# A Python: its version and what it lacks are made up; whether that is enough the script asks a real one.
PYTHON = """#!/bin/sh
# {name} {version}
echo "python {name}: $*" | sed 's/ -c .*/ -c …/' >>"{calls}"
case "$1 $2" in
  "-V "*) echo "Python {version}" ;;
  "-VV "*) echo "Python {version} (of a test)" ;;
  "-c "*) exec "{interpreter}" -I -S -c '
import sys
sys.version_info = {numbers} + ("final", 0)
for name in {lacks}: sys.modules[name] = None
exec(sys.argv[1])' "$2" ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip")
    [ ! -e "{broken}" ] || exit 1
    for word; do case $word in */runctl-*.whl)
      wheel=${{word##*/runctl-}}
      printf '#!/bin/sh\\necho "runctl-agent %s (0123456789ab)"\\n' "${{wheel%%-*}}" >"${{0%/*}}/runctl-agent"
      chmod +x "${{0%/*}}/runctl-agent" ;;
    esac; done ;;
  *sbom.py) echo '{{}}' ;;
esac
"""

# A package manager: what it would install of the packages that it has.
MANAGER = """#!/bin/sh
echo "{name} $*" >>"{calls}"
[ ! -e "{broken}" ] || exit 1
for word; do
  case "$word" in
    update) [ ! -e "{has}/busy" ] || exit 100 ;;
    python*) [ -e "{has}/$word" ] || exit 1; [ ! -s "{has}/$word" ] || cp "{has}/$word" "{bin}/$word" ;;
  esac
done
"""

# systemctl(1) with --root=: the links that `enable` makes.
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" | sed 's#--root=[^ ]* ##' >>"{calls}"
wants="{root}/etc/systemd/system/multi-user.target.wants"
mkdir -p "$wants"
case " $* " in
  *" enable "*) for word; do case $word in *.service | *.path) ln -sfn "/etc/systemd/system/$word" "$wants/$word" ;; esac; done ;;
  *" disable "*) for word; do case $word in *.service | *.path) rm -f "$wants/$word" ;; esac; done ;;
esac
"""

CURL = """#!/bin/sh
echo "curl $*" >>"{calls}"
while [ $# -gt 1 ]; do [ "$1" != -o ] || to=$2; shift; done
[ -e "{web}/${{1##*/}}" ] && cp "{web}/${{1##*/}}" "$to"
"""


@dataclass(frozen=True)
class Ended:
    code: int
    said: str


class Distribution:
    """`release` is ID and VERSION_ID of os-release(5); `manager` is apt-get or dnf, `users` those in /etc/passwd."""

    def __init__(self, folder: Path, release: str, manager: str, *users: str) -> None:
        self.root, self._bin, self._has, self._web = (folder / name for name in ("root", "bin", "has", "web"))
        self._calls, self._broken, self._packer = folder / "calls", folder / "broken", folder / "packer"
        self.temporary = folder / "tmp"
        for made in (self.root / "etc", self._bin, self._has, self._web, self.temporary):
            made.mkdir(parents=True)
        name, _, version = release.partition(" ")
        (self.root / "etc/os-release").write_text(f'ID={name}\nVERSION_ID="{version}"\n')
        (self.root / "etc/passwd").write_text("".join(f"{user}:x:1000:1000::/home/{user}:/bin/bash\n" for user in users))
        if manager == "apt-get":
            (self.root / "etc/apt").mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is missing: apt-get install coreutils findutils diffutils grep gzip sed tar"
            (self._bin / tool).symlink_to(found)
        self.command("systemctl", SYSTEMCTL)
        self.command("curl", CURL)
        self.command("uname", "#!/bin/sh\necho x86_64\n")
        if manager:
            self.command(manager, MANAGER.replace("{name}", manager))
        shutil.copytree(REPOSITORY / "packer", self._packer)
        shutil.copytree(REPOSITORY / "systemd", folder / "systemd")
        self.wheel = self.wheel_of("0.1.0")

    def command(self, name: str, text: str) -> None:
        places = {"calls": self._calls, "broken": self._broken, "has": self._has, "bin": self._bin, "root": self.root}
        self._put(self._bin / name, text.format(**places, web=self._web))

    def without(self, name: str) -> None:
        (self._bin / name).unlink()

    def python(self, name: str, version: str, *lacks: str) -> None:
        self._put(self._bin / name, self._stand_in(name, version, *lacks))

    def sells(self, package: str, version: str = "") -> None:
        """The package manager has it: with a version it is a Python, in place of the one that is there."""
        self._put(self._has / package, self._stand_in(package, version) if version else "")

    def is_busy(self) -> None:
        """Something else brings the package manager's lists up to date, as at a first boot."""
        (self._has / "busy").touch()

    def publishes(self, machine: str = "x86_64") -> str:
        """A standalone CPython, to be downloaded; its sum is the one that is asked for. Its name."""
        script = self._packer / "python.sh"
        numbers = dict(re.findall(r"^(cpython_\w+)=(\S+)$", script.read_text(), re.MULTILINE))
        version = numbers["cpython_version"]
        name = f"cpython-{version}+{numbers['cpython_release']}-{machine}-unknown-linux-gnu-install_only_stripped.tar.gz"
        data = self._stand_in("standalone", version).encode()
        with tarfile.open(self._web / name, "w:gz") as archive:
            member = tarfile.TarInfo("python/bin/python3")
            member.mode, member.size = 0o755, len(data)
            archive.addfile(member, io.BytesIO(data))
        self._sum(machine, hashlib.sha256((self._web / name).read_bytes()).hexdigest())
        return name

    def tampers(self, name: str) -> None:
        (self._web / name).write_bytes((self._web / name).read_bytes() + b"tampered with")

    def broken(self, broken: bool) -> None:
        """Whether whatever brings packages, pip too, fails."""
        self._broken.touch() if broken else self._broken.unlink()

    def wheel_of(self, version: str) -> Path:
        wheel = self._packer.parent / f"runctl-{version}-py3-none-any.whl"
        wheel.write_text(version)
        return wheel

    def packages(self, *names: str) -> Path:
        """A folder of wheels, with these of what was published in it."""
        folder = self._packer.parent / "wheels"
        folder.mkdir()
        for name in names:
            shutil.move(self._web / name, folder)
        return folder

    def install(self, *argv: str, wheel: Path | None = None) -> Ended:
        given = argv if "--uninstall" in argv else ("--wheel", str(wheel or self.wheel), *argv)
        return self.run(*given)

    def run(self, *argv: str) -> Ended:
        environ = {"PATH": str(self._bin), "RUNCTL_ROOT": str(self.root), "TMPDIR": str(self.temporary)}
        whole = [str(self._bin / "bash"), str(self._packer / "install.sh"), *argv]
        done = subprocess.run(whole, env=environ, capture_output=True, text=True, check=False, timeout=60)
        return Ended(done.returncode, done.stdout + done.stderr)

    def calls(self, *of: str) -> list[str]:
        """What was called since the last time, of these commands."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.write_text("")
        return [line for line in lines if line.partition(" ")[0] in of]

    def made_by(self) -> str:
        """Which Python made the environment, by name and version."""
        return (self.root / "opt/runctl/bin/python").read_text().splitlines()[1].removeprefix("# ")

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir() or path.is_symlink()}

    def _stand_in(self, name: str, version: str, *lacks: str) -> str:
        numbers = tuple(int(part) for part in version.split("."))
        lacks = (*lacks, *([] if numbers >= (3, 11) else ["tomllib"]))
        return PYTHON.format(
            name=name,
            version=version,
            numbers=numbers,
            lacks=lacks,
            interpreter=INTERPRETER,
            calls=self._calls,
            broken=self._broken,
        )

    def _sum(self, machine: str, wanted: str) -> None:
        script = self._packer / "python.sh"
        text, count = re.subn(rf"(?m)^(cpython_sha256_{machine})=.*$", rf"\1={wanted}", script.read_text())
        assert count == 1
        script.write_text(text)

    @staticmethod
    def _put(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

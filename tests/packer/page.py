"""docs/image.md as the tests take it: its commands, which are run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "image.md").read_text()
BLOCK = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
COMMANDS = [line.strip() for block in BLOCK.findall(PAGE) for line in re.sub(r" \\\n +", " ", block).splitlines()]


def command(beginning: str, end: str = "") -> str:
    """The one, perhaps given at several places, that begins and ends so."""
    (found,) = {line for line in COMMANDS if line.startswith(beginning) and line.endswith(end)}
    return found


WHEEL = command("python -m hatchling build")
BUILD = command("packer build ")
INSTALL = command("sudo packer/install.sh --wheel ", ".whl")
CLEAN = command("sudo packer/install.sh --clean")
DOCTOR = command("sudo /usr/local/bin/runctl-agent doctor --image")
DOWNLOAD = command("python -m pip download ")
OFFLINE = command("sudo packer/install.sh --wheel ", " --wheels wheels")
VERSION = command("runctl-agent --version")
UNINSTALL = command("sudo packer/install.sh --uninstall")
RUN = (WHEEL, BUILD, INSTALL, CLEAN, DOCTOR, DOWNLOAD, OFFLINE, VERSION, UNINSTALL)
NOT_RUN = command("packer init ")
"""It fetches a plugin from the network, for a Packer that Debian does not have."""

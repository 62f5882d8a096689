"""What an environment is made of, as CycloneDX 1.5 (ECMA-424): `sbom.py requirements.lock > sbom.json`, by its own Python.

Hashes are those of the lock file, so of every file that could have been installed. The same environment gives the same text.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from importlib.metadata import Distribution, distributions

INSTALLERS = ("pip", "setuptools")
"""Removed once they are done."""


def hashes(lock: str) -> dict[str, list[str]]:
    """SHA-256 by normalized name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lock.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(\[[^]]*\])?==", line):
            name = normalized(match[1])
        found.setdefault(name, []).extend(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def normalized(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def component(one: Distribution, sums: list[str]) -> dict[str, object]:
    name = normalized(one.metadata["Name"])
    told: dict[str, object] = {"type": "library", "bom-ref": f"pkg:pypi/{name}@{one.version}", "name": name}
    told |= {"version": one.version, "purl": f"pkg:pypi/{name}@{one.version}"}
    license_ = one.metadata.get("License-Expression")
    if license_:
        told["licenses"] = [{"expression": license_}]
    if sums:
        told["hashes"] = [{"alg": "SHA-256", "content": found} for found in sums]
    return told


def bill(lock: str) -> dict[str, object]:
    sums = hashes(lock)
    installed = sorted(distributions(), key=lambda one: normalized(one.metadata["Name"]))
    parts = {normalized(one.metadata["Name"]): one for one in installed}
    whole = component(parts.pop("runctl"), [])
    components = [component(one, sums.get(name, [])) for name, one in parts.items() if name not in INSTALLERS]
    python = ".".join(map(str, sys.version_info[:3]))
    runtime = {"type": "platform", "bom-ref": "cpython", "name": "cpython", "version": python}
    content = json.dumps([whole, components, runtime], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": {**whole, "type": "application", "version": commit(whole)}},
        "components": [runtime, *components],
    }


def commit(whole: dict[str, object]) -> str:
    """The version with the commit it was built from, as `runctl-agent --version` shows it."""
    from runctl_agent.build import described

    return f"{whole['version']} ({described()})"


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        json.dump(bill(file.read()), sys.stdout, indent=1)
    sys.stdout.write(os.linesep)


if __name__ == "__main__":
    main()

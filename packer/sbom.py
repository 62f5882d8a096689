"""What is installed beside this interpreter, as a CycloneDX 1.6 document on stdout (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import distributions


def document() -> dict[str, object]:
    found = {(one.metadata["Name"].lower().replace("_", "-"), one.version) for one in distributions()}
    components = [
        {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        for name, version in sorted(found)
        if (purl := f"pkg:pypi/{name}@{version}")
    ]
    python = {"type": "platform", "name": platform.python_implementation(), "version": platform.python_version()}
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [python, *components]}


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1)
    sys.stdout.write("\n")

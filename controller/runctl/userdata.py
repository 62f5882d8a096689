"""User-data: the run spec as a file for cloud-init, or a pointer to it where it is too large. Pure.

Sources: "Write Files" (cloud-init documentation, module reference); RunInstances, UserData: "limited to 16 KB, in raw form,
before it is base64-encoded" (Amazon EC2 User Guide, "Pass commands or data to your EC2 instance").
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

from runctl_agent.contract.spec import Spec, encode_spec

LIMIT = 16_384
"""Bytes, before the base64 of the API."""

PATH = "/etc/runctl/run.yaml"


def user_data(spec: Spec, spec_url: str) -> str:
    """A `#cloud-config` that writes the spec; above the limit it writes a pointer to `spec_url`, where the spec lies."""
    whole = cloud_config(spec_file(spec))
    return whole if len(whole) <= LIMIT else cloud_config(_yaml({"spec": spec_url}))


def cloud_config(content: bytes) -> str:
    """ASCII: in base64 nothing of the content can be taken for anything of cloud-init's."""
    return (
        "#cloud-config\n"
        "write_files:\n"
        f"  - path: {PATH}\n"
        '    permissions: "0600"\n'
        "    encoding: b64\n"
        f"    content: {base64.b64encode(content).decode('ascii')}\n"
    )


def spec_file(spec: Spec) -> bytes:
    """The spec as a file of its own, on the instance and as `run.json`."""
    return _yaml(encode_spec(spec))


def _yaml(plain: Mapping[str, object]) -> bytes:
    """JSON that is YAML too: what is beyond U+FFFF stands as it is, for YAML reads an escaped pair as two characters."""
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text).encode("utf-8")

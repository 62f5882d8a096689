"""User-data: the run spec as a file for cloud-init, or a pointer to it where it is too large. Pure.

Sources: "Write Files" (cloud-init documentation, module reference); RunInstances, UserData: "limited to 16 KB, in raw form,
before it is base64-encoded" (Amazon EC2 User Guide, "Pass commands or data to your EC2 instance").
"""

from __future__ import annotations

import base64

from runctl_agent.contract.spec import Spec, encode_run, yaml_json

LIMIT = 16_384
"""Bytes, before the base64 of the API."""

PATH = "/etc/runctl/run.yaml"


def user_data(spec: Spec, spec_url: str) -> str:
    """A `#cloud-config` that writes the spec; above the limit it writes a pointer to `spec_url`, where the spec lies."""
    whole = cloud_config(encode_run(spec))
    return whole if len(whole) <= LIMIT else cloud_config(yaml_json({"spec": spec_url}))


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

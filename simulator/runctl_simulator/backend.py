"""moto's models of EC2: the only place that knows their names. They live in this process; the caller has the lock.

moto is untyped: `MotoInstance` says which of its attributes are used.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Protocol

from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import InstanceState, StateReason
from moto.iam.models import iam_backends

from .imds import Identity

ACCOUNT = "123456789012"
INSTANCE_PROFILE = "runctl-agent"
AGENT_VERSION = "runctl:agent-version"

STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
"""InstanceState (Amazon EC2 API Reference)."""


class MotoInstance(Protocol):
    id: str
    image_id: str
    instance_type: str
    architecture: str
    lifecycle: str | None
    launch_time: datetime
    user_data: Any
    metadata_options: Any
    instance_initiated_shutdown_behavior: str

    @property
    def state(self) -> str: ...
    @property
    def private_ip(self) -> str | None: ...
    @property
    def availability_zone(self) -> str | None: ...


class Backend:
    def __init__(self, region: str) -> None:
        self.region = region
        self.exhausted: set[str] = set()  # instance types of which there are none left
        self.ec2: Any = ec2_backends[ACCOUNT][region]
        self._iam: Any = iam_backends[ACCOUNT]["aws"]

    # --- instances ---

    def instances(self) -> dict[str, MotoInstance]:
        return {instance.id: instance for instance in self.ec2.all_instances()}

    def find(self, id_: str) -> MotoInstance | None:
        found: MotoInstance | None = self.ec2.get_instance_by_id(id_)
        return found

    def set_state(self, instance: MotoInstance, state: str) -> None:
        vars(instance)["_state"] = InstanceState(state, STATES[state])

    def set_reason(self, instance: MotoInstance, code: str, message: str, transition: str) -> None:
        vars(instance)["state_reason"] = StateReason(f"{code}: {message}", code)
        vars(instance)["_reason"] = transition

    def stop(self, instance: MotoInstance) -> None:
        self.ec2.stop_instances([instance.id])

    def terminate(self, instance: MotoInstance) -> None:
        """Whatever protects it from the API."""
        vars(instance)["disable_api_termination"] = False
        self.ec2.terminate_instances([instance.id])

    def launched_now(self, instance: MotoInstance) -> None:
        """LaunchTime is in whole seconds, and that of the last start: Instance (Amazon EC2 API Reference)."""
        instance.launch_time = datetime.now(UTC).replace(microsecond=0, tzinfo=None)

    def user_data(self, instance: MotoInstance) -> bytes:
        return base64.b64decode(str(instance.user_data)) if instance.user_data is not None else b""

    def identity(self, instance: MotoInstance) -> Identity:
        return Identity(
            instance_id=instance.id,
            region=self.region,
            availability_zone=instance.availability_zone or f"{self.region}a",
            instance_type=instance.instance_type,
            image_id=instance.image_id,
            account_id=ACCOUNT,
            private_ip=instance.private_ip or "",
            architecture=instance.architecture or "x86_64",
            pending_time=instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    # --- tags ---

    def tags(self, resource: str) -> dict[str, str]:
        """A copy in one step, so that it may be taken without the lock."""
        return dict(self.ec2.tags.get(resource, {}))

    def tags_in_imds(self, instance: MotoInstance) -> dict[str, str] | None:
        return self.tags(instance.id) if instance.metadata_options.instance_metadata_tags == "enabled" else None

    def create_tags(self, resources: list[str], tags: Mapping[str, str]) -> None:
        self.ec2.create_tags(resources, dict(tags))

    def delete_tag(self, resource: str, key: str) -> None:
        self.ec2.tags.get(resource, {}).pop(key, None)

    def template_names(self) -> set[str]:
        return set(self.ec2.launch_template_name_to_ids)

    def template_data(self, id_: str, name: str, version: str) -> Mapping[str, Any] | None:
        template = self.ec2.launch_templates.get(id_ or self.ec2.launch_template_name_to_ids.get(name))
        if template is None or (version.isdigit() and not 1 <= int(version) <= len(template.versions)):
            return None
        data: Mapping[str, Any] = template.get_version(version).data
        return data

    def instance_types(self) -> Collection[str]:
        types: Collection[str] = INSTANCE_TYPES
        return types

    # --- what is there from the beginning ---

    def register_image(self) -> str:
        """An image of our own with the agent in it, as packer makes it; its id."""
        image = self.ec2.register_image("runctl-simulated", "what the simulator boots")
        vars(image).update(architecture="x86_64", virtualization_type="hvm", root_device_type="ebs", hypervisor="xen")
        image.add_tags({AGENT_VERSION: version("runctl")})
        return str(image.id)

    def create_instance_profile(self) -> None:
        """With a role of the same name, without which EC2 would give an instance no credentials."""
        trust = '{"Version": "2012-10-17", "Statement": []}'
        self._iam.create_role(
            INSTANCE_PROFILE, trust, path="/", permissions_boundary="", description="", tags=[], max_session_duration="3600"
        )
        self._iam.create_instance_profile(INSTANCE_PROFILE, "/", [])
        self._iam.add_role_to_instance_profile(INSTANCE_PROFILE, INSTANCE_PROFILE)

    def instance_profiles(self) -> set[str]:
        return set(self._iam.instance_profiles)

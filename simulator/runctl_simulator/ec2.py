"""EC2's answers: the rules before moto, and after it what becomes of the machines."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from . import rules
from .backend import Backend, MotoInstance
from .late_tags import LateTags, Write
from .machines import Machines
from .query import Query
from .refusal import Refused, unauthorized
from .throttle import Throttle

SPOT_PRICE = b"0.402000"
"""USD an hour."""

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""

XML = [("Content-Type", "text/xml;charset=UTF-8")]


class Ec2:
    """`moto` answers a request; `now` is the simulator's clock in seconds. The caller has the lock."""

    def __init__(self, backend: Backend, machines: Machines, moto: Callable[[Query], Answer], now: Callable[[], float]) -> None:
        self._backend = backend
        self._machines = machines
        self._moto = moto
        self._now = now
        self._tokens = rules.ClientTokens()
        self._persistent: set[str] = set()
        self.throttle = Throttle()
        self.late = LateTags()
        self.denied: dict[str, Refused] = {}

    def answer(self, query: Query) -> Answer:
        """Raises Refused."""
        if query.action in self.denied or "*" in self.denied:
            raise self.denied.get(query.action) or self.denied["*"]
        self.throttle.take(query, self._now())
        special = {
            "RunInstances": self._run_instances,
            "CreateTags": self._create_tags,
            "DeleteTags": self._delete_tags,
            "StartInstances": self._start_instances,
            "CreateLaunchTemplate": self._create_template,
            "DeleteLaunchTemplate": self._delete_template,
            "StopInstances": self._stop_instances,
            "RebootInstances": self._reboot_instances,
            "TerminateInstances": self._named_instances,
            "DescribeInstances": self._named_instances,
            "DescribeSpotPriceHistory": self._spot_prices,
            "DescribeInstanceStatus": self._named_instances,
            "DescribeInstanceAttribute": self._named_instances,
            "ModifyInstanceAttribute": self._named_instances,
            "ModifyInstanceMetadataOptions": self._modify_metadata_options,
        }
        return special.get(query.action, self._moto)(query)

    def deny(self, action: str, code: str, message: str, status: int) -> None:
        """`*`: every action."""
        self.denied[action] = Refused(code, message, status) if code else unauthorized(action)

    # --- launch templates ---

    def _create_template(self, query: Query) -> Answer:
        """A type or an image that is not there is only told by whoever launches: CreateLaunchTemplate (API Reference)."""
        token = "" if query.flag("DryRun") else query.get("ClientToken")
        if token and (answered := self._tokens.known(token, query.fields)) is not None:
            return 200, XML, answered
        rules.check_template_name(query.get("LaunchTemplateName"))
        if query.get("LaunchTemplateData.UserData"):
            rules.check_user_data(query.get("LaunchTemplateData.UserData"))
        for tags in (*query.specified_tags("LaunchTemplateData.").values(), *query.specified_tags().values()):
            rules.check_tags(tags)
            rules.check_room({}, tags)
        answer = self._moto(query)
        if answer[0] == 200 and token:
            self._tokens.remember(token, query.fields, answer[2])
        return answer

    def _delete_template(self, query: Query) -> Answer:
        name = query.get("LaunchTemplateName")
        if name and name not in self._backend.template_names():
            raise Refused(
                "InvalidLaunchTemplateName.NotFoundException",
                "At least one of the launch templates specified in the request does not exist.",
            )
        return self._moto(query)

    # --- tags ---

    def _create_tags(self, query: Query) -> Answer:
        resources, tags = query.values("ResourceId"), query.tags()
        self._check_resources(resources)
        rules.check_tags(tags)
        for id_ in resources:
            rules.check_room({**self._backend.tags(id_), **self.late.coming(id_)}, tags)
        for instance in self._named(resources):
            if self._backend.tags_in_imds(instance) is not None:
                rules.check_metadata_keys(tags)
        if query.flag("DryRun") or not tags:
            return self._moto(query)
        self.show([self.late.take(Write(resources, tags), self._now())])
        return _done("CreateTags")

    def _delete_tags(self, query: Query) -> Answer:
        self._check_resources(query.values("ResourceId"))
        return self._moto(query)

    def show(self, writes: list[Write]) -> None:
        """These tags are visible from now on."""
        for write in writes:
            if write.tags:
                self._backend.create_tags(write.resources, write.tags)

    def _check_resources(self, resources: list[str]) -> None:
        """moto checks the others."""
        known = self._backend.instances()
        rules.check_instance_ids([id_ for id_ in resources if id_.startswith("i-")], known)

    def _modify_metadata_options(self, query: Query) -> Answer:
        instances = self._instances(query, "InstanceId")
        if query.get("InstanceMetadataTags") == "enabled":
            for instance in instances:
                rules.check_metadata_keys(self._backend.tags(instance.id))
        return self._moto(query)

    # --- instances ---

    def _run_instances(self, query: Query) -> Answer:
        token = "" if query.flag("DryRun") else query.get("ClientToken")
        if token and (answered := self._tokens.known(token, query.fields)) is not None:
            return 200, XML, answered
        if query.get("UserData"):
            rules.check_user_data(query.get("UserData"))
        rules.check_instance_type(query.get("InstanceType"), self._backend.instance_types())
        rules.check_profile(query.get("IamInstanceProfile.Name"), self._backend.instance_profiles())
        if not query.flag("DryRun"):  # which says nothing of capacity
            rules.check_capacity(query.get("InstanceType"), self._backend.exhausted)
        for tags in query.specified_tags().values():
            rules.check_tags(tags)
            rules.check_room({}, tags)
        if query.get("MetadataOptions.InstanceMetadataTags") == "enabled":
            rules.check_metadata_keys(query.specified_tags().get("instance", {}))
        # As many as possible up to MaxCount, RunInstances (API Reference): here all are, and moto launches MinCount.
        count = query.get("MaxCount") or query.get("MinCount", "1")
        before = self._backend.instances().keys()
        status, headers, body = self._moto(Query({**query.fields, "MinCount": count}))
        if status == 200 and token:
            self._tokens.remember(token, query.fields, body)
        if query.get("InstanceMarketOptions.SpotOptions.SpotInstanceType") == "persistent":
            self._persistent |= self._backend.instances().keys() - before
        return status, headers, body

    def _spot_prices(self, query: Query) -> Answer:
        """One price for every type and zone; moto's own is a hundred-thousandth of a dollar."""
        status, headers, body = self._moto(query)
        return status, headers, re.sub(rb"(<spotPrice>)[^<]*", rb"\g<1>" + SPOT_PRICE, body)

    def _start_instances(self, query: Query) -> Answer:
        for instance in self._instances(query):
            rules.check_start(instance.id, instance.state)
        return self._moto(query)

    def _stop_instances(self, query: Query) -> Answer:
        for instance in self._instances(query):
            one_time = instance.lifecycle == "spot" and instance.id not in self._persistent
            rules.check_stop(instance.id, instance.state, one_time_spot=one_time)
        return self._moto(query)

    def _reboot_instances(self, query: Query) -> Answer:
        instances = self._instances(query)
        for instance in instances:
            rules.check_reboot(instance.id, instance.state)
        answer = self._moto(query)
        if answer[0] == 200:
            for instance in instances:
                self._machines.reboot(instance.id)
        return answer

    def _named_instances(self, query: Query) -> Answer:
        """Those that are named exist."""
        self._instances(query)
        return self._moto(query)

    def _instances(self, query: Query, name: str = "InstanceId") -> list[MotoInstance]:
        ids = query.values(name) or ([query.get(name)] if query.get(name) else [])
        rules.check_instance_ids(ids, self._backend.instances())
        return self._named(ids)

    def _named(self, ids: list[str]) -> list[MotoInstance]:
        instances = self._backend.instances()
        return [instances[id_] for id_ in ids if id_ in instances]


def _done(action: str) -> Answer:
    body = f'<{action}Response xmlns="{NAMESPACE}"><requestId>{uuid.uuid4()}</requestId><return>true</return></{action}Response>'
    return 200, XML, body.encode()

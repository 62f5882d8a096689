"""The Auto Scaling group that the instance lives in; nobody else talks to Auto Scaling.

Sources: DetachInstances, TerminateInstanceInAutoScalingGroup, RecordLifecycleActionHeartbeat and CompleteLifecycleAction
(Amazon EC2 Auto Scaling API Reference).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from . import aws
from .contract.spec import Recover
from .ec2 import CONNECT_TIMEOUT, DENIED, PASSING, READ_TIMEOUT, THROTTLED
from .errors import GroupError, GroupRefused
from .records import Instance

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient

GONE = re.compile(r"not part of|not found|No active Lifecycle Action|No managed instance|is not in|pending delet", re.IGNORECASE)
"""What Auto Scaling answers (ValidationError) where nothing is left to be done: a group being deleted replaces nobody."""

SMALLEST = re.compile(r"min size", re.IGNORECASE)
"""What it says (ValidationError) where the desired capacity would go below the minimum."""


class AutoScalingGroup:
    """A `Group` by botocore. To ask for what is done already is no error."""

    def __init__(self, instance: Instance, recover: Recover) -> None:
        self._instance = instance
        self._recover = recover
        self._made: AutoScalingClient | None = None

    def leave(self, *, terminate: bool) -> None:
        """Out of the group, whose desired capacity goes down with it: nothing replaces this instance. Raises GroupError."""
        if terminate:
            self._asked(
                "TerminateInstanceInAutoScalingGroup",
                lambda client: client.terminate_instance_in_auto_scaling_group(
                    InstanceId=self._instance.id, ShouldDecrementDesiredCapacity=True
                ),
            )
        else:
            self._asked(
                "DetachInstances",
                lambda client: client.detach_instances(
                    InstanceIds=[self._instance.id],
                    AutoScalingGroupName=self._recover.group,
                    ShouldDecrementDesiredCapacity=True,
                ),
            )

    def heartbeat(self) -> None:
        """The hook's timeout starts anew. Raises GroupError."""
        if self._recover.hook:
            self._asked(
                "RecordLifecycleActionHeartbeat",
                lambda client: client.record_lifecycle_action_heartbeat(
                    LifecycleHookName=self._recover.hook,
                    AutoScalingGroupName=self._recover.group,
                    InstanceId=self._instance.id,
                ),
            )

    def complete(self) -> None:
        """The hook lets the instance go. Raises GroupError."""
        if self._recover.hook:
            self._asked(
                "CompleteLifecycleAction",
                lambda client: client.complete_lifecycle_action(
                    LifecycleHookName=self._recover.hook,
                    AutoScalingGroupName=self._recover.group,
                    InstanceId=self._instance.id,
                    LifecycleActionResult="CONTINUE",
                ),
            )

    def _asked(self, action: str, call: Callable[[AutoScalingClient], object]) -> None:
        what = f"autoscaling:{action} on {self._instance.id} in {self._recover.group}"
        try:
            call(self._client())
        except ClientError as error:
            self._answered(what, action, error)
        except BotoCoreError as error:
            raise GroupError(what, str(error), f"check the route to Auto Scaling in {self._instance.region}") from error

    def _answered(self, what: str, action: str, error: ClientError) -> None:
        told = error.response.get("Error", {})
        code, message = told.get("Code", ""), told.get("Message", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "ValidationError" and GONE.search(message):
            return
        why = f"{code}: {message}"
        if code in THROTTLED | PASSING | {"ResourceContention", "ScalingActivityInProgress"} or status >= 500:
            raise GroupError(what, why, "nothing to do: it is tried again") from error
        mend = "`runctl-agent doctor` tries every right by doing"
        if code == "ValidationError" and SMALLEST.search(message):
            group = self._recover.group
            mend = f"`aws autoscaling update-auto-scaling-group --auto-scaling-group-name {group} --min-size 0`"
        if code in DENIED:
            mend = f"allow the instance's role autoscaling:{action} on its own group, in the policy of its instance profile"
        raise GroupRefused(what, why, mend) from error

    def _client(self) -> AutoScalingClient:
        """Made at the first call: most instances never make one."""
        if self._made is None:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": 3, "mode": "standard"},
                max_pool_connections=1,
            )
            self._made = cast("AutoScalingClient", aws.client("autoscaling", self._instance.region, config=config))
        return self._made

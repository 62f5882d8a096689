"""Our cut of botocore's data says of what the agent calls what the whole says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.session import Session, get_session

from runctl_agent import aws
from runctl_agent.models import cut

REGIONS = ["us-east-1", "eu-central-1", "ap-southeast-5", "us-gov-west-1", "cn-north-1"]

HOOK = {"LifecycleHookName": "h", "AutoScalingGroupName": "g", "InstanceId": "i-1"}

CALLS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "ec2",
        "create_tags",
        {"Resources": ["i-1"], "Tags": [{"Key": "runctl:phase", "Value": "ü & <b>"}, {"Key": "k", "Value": ""}]},
    ),
    ("ec2", "create_tags", {"Resources": ["i-1"], "Tags": [{"Key": "k", "Value": "v"}], "DryRun": True}),
    ("ec2", "describe_tags", {"Filters": [{"Name": "resource-id", "Values": ["i-1"]}]}),
    ("ec2", "describe_instances", {"InstanceIds": ["i-1"]}),
    (
        "autoscaling",
        "detach_instances",
        {"InstanceIds": ["i-1"], "AutoScalingGroupName": "g", "ShouldDecrementDesiredCapacity": True},
    ),
    (
        "autoscaling",
        "terminate_instance_in_auto_scaling_group",
        {"InstanceId": "i-1", "ShouldDecrementDesiredCapacity": True},
    ),
    ("autoscaling", "record_lifecycle_action_heartbeat", HOOK),
    ("autoscaling", "complete_lifecycle_action", {**HOOK, "LifecycleActionResult": "CONTINUE"}),
]

INSTANCES = b"""<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
<reservationSet><item><reservationId>r-1</reservationId><groupSet/><instancesSet><item><instanceId>i-1</instanceId>
<instanceState><code>16</code><name>running</name></instanceState><launchTime>2026-11-23T18:00:00.000Z</launchTime>
</item></instancesSet></item></reservationSet></DescribeInstancesResponse>"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    aws._loader.cache_clear()
    yield
    aws._loader.cache_clear()


@pytest.fixture
def whole() -> Session:
    return get_session()


def sent(client: Any, call: str, arguments: dict[str, Any]) -> tuple[object, ...]:
    """What would cross the wire, less the signature; and what its answer is read as."""
    seen: list[AWSRequest] = []

    class Raw:
        def stream(self) -> Iterator[bytes]:
            action = client.meta.method_to_api_mapping[call]
            done = f"<Response><{action}Result/></Response>".encode()
            yield INSTANCES if client.meta.service_model.service_name == "ec2" else done

    def answer(request: AWSRequest, **_: object) -> AWSResponse:
        seen.append(request)
        return AWSResponse(str(request.url), 200, HTTPHeaders(), Raw())

    client.meta.events.register("before-send", answer)
    found = getattr(client, call)(**arguments)
    (request,) = seen
    launched = [instance["LaunchTime"] for one in found.get("Reservations", ()) for instance in one["Instances"]]
    return request.method, request.url, request.body, launched


@pytest.mark.parametrize(("service", "call", "arguments"), CALLS)
def test_the_cut_model_makes_the_same_requests(whole: Session, service: str, call: str, arguments: dict[str, Any]) -> None:
    with closing(aws.client(service, "eu-central-1")) as ours, closing(whole.create_client(service, "eu-central-1")) as theirs:
        assert set(ours.meta.service_model.operation_names) == set(cut.OPERATIONS[service]), "it is the cut one"
        assert sent(ours, call, arguments) == sent(theirs, call, arguments)


@pytest.mark.parametrize("service", cut.OPERATIONS)
def test_what_ships_is_part_of_what_is_installed(service: str) -> None:
    stock = get_session().get_component("data_loader").load_service_model(service, "service-2")
    ours = aws._loader(aws.MODELS).load_service_model(service, "service-2")
    assert ours["operations"] == cut.cut(stock, service)["operations"]
    for name, shape in ours["shapes"].items():
        assert shape["type"] == stock["shapes"][name]["type"]
        for member, found in shape.get("members", {}).items():
            assert found.items() <= stock["shapes"][name]["members"][member].items(), "python -m runctl_agent.models.cut"


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("service", ["s3", "ec2", "autoscaling"])
def test_endpoints_are_the_same(whole: Session, service: str, region: str) -> None:
    with closing(aws.client(service, region)) as ours, closing(whole.create_client(service, region)) as theirs:
        assert ours.meta.endpoint_url == theirs.meta.endpoint_url
        assert ours.meta.partition == theirs.meta.partition


def test_s3_is_whole(whole: Session) -> None:
    with closing(aws.client("s3", "us-east-1")) as ours, closing(whole.create_client("s3", "us-east-1")) as theirs:
        assert ours.meta.service_model.operation_names == theirs.meta.service_model.operation_names


@pytest.mark.parametrize("text", ["{}", '{"metadata": {}, "operations": {}, "shapes": {}}', "[", ""])
def test_a_cut_model_that_is_of_no_use_gives_way_to_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    folder = tmp_path / "ec2" / "2016-11-15"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(text)
    monkeypatch.setattr(aws, "MODELS", str(tmp_path))
    with caplog.at_level(logging.WARNING), closing(aws.client("ec2", "us-east-1")) as client:
        assert len(client.meta.service_model.operation_names) > len(cut.OPERATIONS["ec2"])
    assert "ours makes no client" in caplog.text

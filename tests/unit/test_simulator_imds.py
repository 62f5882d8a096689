"""The simulator keeps the rules of IMDSv2, asked by a plain HTTP client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest

from runctl_simulator.imds import (
    LIFECYCLE_STATE,
    MAX_TAGS,
    REBALANCE,
    SCHEDULED,
    SPOT,
    Identity,
    ImdsServer,
    ScheduledEvent,
)

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
AT = datetime(2017, 9, 18, 8, 22, 0, tzinfo=UTC)

Ask = Callable[..., tuple[int, str]]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def imds(clock: Clock) -> Iterator[ImdsServer]:
    with ImdsServer(clock=clock, life_cycle="spot") as server:
        yield server


def ask(imds: ImdsServer, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    url = urlsplit(imds.endpoint)
    with closing(http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)) as connection:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()


def token(imds: ImdsServer, ttl: int = 60) -> str:
    status, body = ask(imds, "PUT", "/latest/api/token", {TTL: str(ttl)})
    assert status == 200
    return body


def get(imds: ImdsServer, path: str) -> tuple[int, str]:
    return ask(imds, "GET", f"/latest/{path}", {TOKEN: token(imds)})


@pytest.mark.parametrize("path", ["meta-data/instance-id", "dynamic/instance-identity/document", SPOT, "meta-data/nothing"])
@pytest.mark.parametrize("headers", [{}, {TOKEN: "made-up"}, {TOKEN: ""}])
def test_nothing_is_told_without_a_token(imds: ImdsServer, path: str, headers: dict[str, str]) -> None:
    assert ask(imds, "GET", f"/latest/{path}", headers) == (401, "")


@pytest.mark.parametrize("ttl", ["0", "21601", "-1", "", "ten", "1.5", "9" * 30, "\u0661"])
def test_a_token_lives_from_one_second_to_six_hours(imds: ImdsServer, ttl: str) -> None:
    sent = ttl.encode()
    assert ask(imds, "PUT", "/latest/api/token", {TTL: sent})[0] == 400  # type: ignore[dict-item]
    assert ask(imds, "PUT", "/latest/api/token") == (400, "")
    for allowed in ("1", "21600"):
        assert ask(imds, "PUT", "/latest/api/token", {TTL: allowed})[0] == 200


def test_a_token_dies_at_its_time(imds: ImdsServer, clock: Clock) -> None:
    mine = token(imds, ttl=60)
    clock.now += 60
    assert ask(imds, "GET", "/latest/meta-data/instance-id", {TOKEN: mine})[0] == 200
    clock.now += 0.1
    assert ask(imds, "GET", "/latest/meta-data/instance-id", {TOKEN: mine})[0] == 401


def test_no_token_goes_through_a_proxy(imds: ImdsServer) -> None:
    assert ask(imds, "PUT", "/latest/api/token", {TTL: "60", "X-Forwarded-For": "10.0.0.1"}) == (403, "")


def test_only_put_makes_a_token_and_only_get_reads(imds: ImdsServer) -> None:
    assert ask(imds, "GET", "/latest/api/token", {TOKEN: token(imds), TTL: "60"})[0] == 405
    assert ask(imds, "POST", "/latest/meta-data/instance-id", {TOKEN: token(imds)})[0] == 405


def test_who_the_instance_is(imds: ImdsServer) -> None:
    status, body = get(imds, "dynamic/instance-identity/document")
    document = json.loads(body)
    identity = Identity()
    assert status == 200
    assert document["instanceId"] == identity.instance_id
    assert document["availabilityZone"] == identity.availability_zone
    assert get(imds, "meta-data/instance-id") == (200, identity.instance_id)
    assert get(imds, "meta-data/placement/region") == (200, "us-east-1")
    assert get(imds, "meta-data/instance-life-cycle") == (200, "spot")


def test_folders_list_what_is_in_them(clock: Clock) -> None:
    with ImdsServer(clock=clock, user_data="#cloud-config\n") as imds:
        assert get(imds, "meta-data/placement/") == (200, "availability-zone\nregion")
        assert "placement/" in get(imds, "meta-data/")[1].splitlines()
        assert get(imds, "dynamic/instance-identity") == (200, "document"), "the slash may be left out, as cloud-init does"
        assert get(imds, "meta-data/nowhere/")[0] == get(imds, "meta-data/place")[0] == 404
        assert get(imds, "user-data") == (200, "#cloud-config\n")


@pytest.mark.parametrize("path", [SPOT, REBALANCE, SCHEDULED, LIFECYCLE_STATE, "meta-data/tags/instance", "no/such/path", ""])
def test_404_means_nothing(imds: ImdsServer, path: str) -> None:
    assert get(imds, path) == (404, "")


def test_a_dated_version_says_the_same_and_without_any_nothing_is_said(imds: ImdsServer) -> None:
    """cloud-init asks by date."""
    own = {TOKEN: token(imds)}
    assert ask(imds, "GET", "/2021-03-23/meta-data/instance-id", own) == get(imds, "meta-data/instance-id")
    assert ask(imds, "GET", "/meta-data/instance-id", own)[0] == 404
    assert ask(imds, "GET", "/other/meta-data/instance-id", own)[0] == 404


def test_notices_are_as_documented_and_can_be_withdrawn(imds: ImdsServer) -> None:
    imds.interrupt_spot("terminate", AT.astimezone(timezone(timedelta(hours=2))))
    imds.recommend_rebalance(AT)
    imds.set_lifecycle_state("Terminated")
    begin = datetime(2019, 1, 1, 9, 0, 43, tzinfo=UTC)
    imds.schedule(ScheduledEvent("system-reboot", begin, begin + timedelta(hours=2)))
    assert json.loads(get(imds, SPOT)[1]) == {"action": "terminate", "time": "2017-09-18T08:22:00Z"}
    assert json.loads(get(imds, REBALANCE)[1]) == {"noticeTime": "2017-09-18T08:22:00Z"}
    assert get(imds, LIFECYCLE_STATE) == (200, "Terminated")
    (event,) = json.loads(get(imds, SCHEDULED)[1])
    assert event["NotBefore"] == "1 Jan 2019 09:00:43 GMT"
    assert event["NotAfter"] == "1 Jan 2019 11:00:43 GMT"
    assert event["Code"] == "system-reboot"
    assert set(event) == {"NotBefore", "Code", "Description", "EventId", "NotAfter", "State"}
    for path in (SPOT, REBALANCE, SCHEDULED, LIFECYCLE_STATE):
        imds.withdraw(path)
        assert get(imds, path) == (404, "")


def test_a_notice_of_another_action_is_refused(imds: ImdsServer) -> None:
    with pytest.raises(ValueError, match="reboot"):
        imds.interrupt_spot("reboot", AT)
    assert get(imds, SPOT) == (404, "")


def test_tags_follow_the_instance(imds: ImdsServer) -> None:
    imds.set_tags({"Name": "trainer", "runctl:want": "é"})
    assert get(imds, "meta-data/tags/instance") == (200, "Name\nrunctl:want")
    assert get(imds, "meta-data/tags/instance/") == (200, "Name\nrunctl:want")
    assert get(imds, "meta-data/tags/instance/runctl%3Awant") == (200, "é")
    assert get(imds, "meta-data/tags/instance/runctl:want") == (200, "é")
    assert get(imds, "meta-data/tags/instance/Other") == (404, "")
    with pytest.raises(ValueError, match="51 tags"):
        imds.set_tags({f"t{n}": "" for n in range(MAX_TAGS + 1)})


def test_the_next_requests_fail_as_told_and_no_others(imds: ImdsServer) -> None:
    mine = token(imds)
    imds.fail_next(503, times=2, path="meta-data")
    statuses = [ask(imds, "GET", "/latest/meta-data/instance-id", {TOKEN: mine})[0] for _ in range(3)]
    assert statuses == [503, 503, 200]
    imds.fail_next(429, path="api/token")
    assert ask(imds, "GET", "/latest/meta-data/instance-id", {TOKEN: mine})[0] == 200
    assert ask(imds, "PUT", "/latest/api/token", {TTL: "60"})[0] == 429
    assert imds.requests[-1] == ("PUT", "api/token", 429)

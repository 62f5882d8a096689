"""What stands in the instance metadata, read by one small total reader for each source."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.training.notice import MONTHS, PATHS, READERS, Notice, Source, gmt, read_event, read_group, read_spot, rfc3339

AT = 1_505_722_920.0


@given(st.sampled_from(Source), st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_whatever_stands_there_is_read(source: Source, body: bytes) -> None:
    found = READERS[source](body)
    assert found is None or found.source is source
    if source in (Source.SPOT, Source.REBALANCE):
        assert found is not None, "as long as there is nothing to tell, nothing stands there"
        assert (found.at is None) == bool(found.problem)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["action", "time", "noticeTime", "Code", "NotBefore", "State"]), inner, max_size=4)
    ),
)


@given(st.sampled_from(Source), json_values)
def test_any_json_is_read(source: Source, value: object) -> None:
    READERS[source](json.dumps(value).encode())


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_a_spot_notice(action: str) -> None:
    found = read_spot(json.dumps({"action": action, "time": "2017-09-18T08:22:00Z"}).encode())
    assert (found, found.text) == (Notice(Source.SPOT, action, AT), f"spot {action}")
    assert found.takes == (action != "hibernate")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"action":"terminate"}', b'{"action":"terminate","time":"soon"}', b'{"time":"2017-09-18T08:22:00"}']
)
def test_a_spot_notice_without_a_time_is_one_all_the_same(body: bytes) -> None:
    found = read_spot(body)
    assert (found.takes, found.at) == (True, None)
    assert "no time in" in found.problem


@pytest.mark.parametrize("state", ["InService", "Detached", "Standby", "Warmed:Stopped", "", "terminated", "<html>"])
def test_no_other_state_of_a_group_is_a_notice(state: str) -> None:
    assert read_group(state.encode()) is None


def test_a_group_that_ends_the_instance() -> None:
    assert read_group(b"Terminated\n") == Notice(Source.GROUP, "terminate")


def test_the_first_active_event_counts() -> None:
    events = [
        {"Code": "instance-stop", "NotBefore": "21 Jan 2019 09:00:43 GMT", "State": "active"},
        {"Code": "system-reboot", "NotBefore": "1 Jan 2019 09:00:43 GMT", "State": "active"},
        {"Code": "instance-retirement", "NotBefore": "1 Dec 2018 09:00:43 GMT", "State": "completed"},
        {"Code": "system-maintenance", "NotBefore": "1 Dec 2018 09:00:43 GMT", "State": "canceled"},
    ]
    assert read_event(json.dumps(events).encode()) == Notice(Source.EVENT, "system-reboot", 1_546_333_243.0)
    assert read_event(json.dumps(events[2:]).encode()) is None


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC)))
def test_times_of_both_forms(at: datetime) -> None:
    assert gmt(f"{at.day} {MONTHS[at.month - 1]} {at:%Y %H:%M:%S} GMT") == at.timestamp()
    assert rfc3339(f"{at:%Y-%m-%dT%H:%M:%SZ}") == gmt(f"{at:%Y-%m-%dT%H:%M:%SZ}") == at.timestamp()


@pytest.mark.parametrize(
    "text", ["31 Feb 2019 09:00:43 GMT", "1 Foo 2019 09:00:43 GMT", "1 Jan 0000 00:00:00 GMT", "", None, 5, "1 Jan 2019"]
)
def test_what_is_no_time_is_none(text: object) -> None:
    assert gmt(text) is None


def test_every_source_has_a_path_and_a_reader() -> None:
    assert set(PATHS) == set(READERS) == set(Source)

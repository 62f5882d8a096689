from __future__ import annotations

from runctl_simulator.late_tags import LateTags, Write

FIRST = Write(["i-1"], {"a": "1", "b": "1", "c": "1"})
SECOND = Write(["i-1"], {"a": "2"})


def test_off_nothing_is_held() -> None:
    late = LateTags()
    assert late.take(FIRST, 0.0) == FIRST
    assert late.release() == []


def test_a_part_at_once_and_the_rest_at_its_time() -> None:
    late = LateTags()
    late.delay(5.0, at_once=1)
    assert late.take(FIRST, 100.0).tags == {"a": "1"}
    assert late.due(104.9) == []
    assert late.coming("i-1") == {"b": "1", "c": "1"}
    assert [write.tags for write in late.due(105.0)] == [{"b": "1", "c": "1"}]
    assert late.due(1e9) == []


def test_held_until_released_in_order() -> None:
    late = LateTags()
    late.delay(None)
    for write in (FIRST, SECOND):
        assert late.take(write, 0.0).tags == {}
    assert late.due(1e9) == []
    assert late.release() == [FIRST, SECOND]
    assert late.coming("i-1") == {}

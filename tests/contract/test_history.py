"""One line of the history: round trips, and garbage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.document import LARGEST, LAST_SECOND
from runctl_agent.contract.history import Moment, decode_moment, encode_moment, moments
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.phases import Phase

COUNT = st.integers(0, LARGEST)
MOMENTS = st.builds(
    Moment,
    at=st.integers(0, LAST_SECOND),
    phase=st.sampled_from(Phase),
    instance=st.text(max_size=20),
    attempt=COUNT,
    step=st.none() | COUNT,
    loss=st.none() | st.floats(-1e18, 1e18),
    safe_step=st.none() | COUNT,
    commits=COUNT,
    pending_bytes=COUNT,
    sent=COUNT,
    rate=COUNT,
    gpu=st.none() | st.integers(0, 100),
    cpu=st.none() | COUNT,
    notice=st.text(max_size=20),
)


@given(MOMENTS)
def test_round_trip(moment: Moment) -> None:
    line = encode_moment(moment)
    assert decode_moment(line) == moment
    assert b"\n" not in line


@given(st.binary(max_size=60) | st.from_regex(rb'\{"at":1,"[a-z]{2,7}":.{0,9}\}', fullmatch=True))
def test_garbage_is_malformed_or_a_moment(line: bytes) -> None:
    assert isinstance(decode_moment(line), Moment | Malformed)


def test_as_it_stands_in_s3() -> None:
    line = b'{"at":1800000000,"attempt":2,"gpu":97,"loss":1.5,"phase":"training","sent":12,"step":700}'
    moment = Moment(at=1_800_000_000, phase=Phase.TRAINING, attempt=2, step=700, loss=1.5, sent=12, gpu=97)
    assert encode_moment(moment) == line
    assert decode_moment(line) == moment


def test_a_line_is_short() -> None:
    most = Moment(
        at=LAST_SECOND,
        phase=Phase.INTERRUPTED,
        instance="i" * 64,
        attempt=LARGEST,
        step=LARGEST,
        loss=-1 / 3,
        safe_step=LARGEST,
        commits=LARGEST,
        pending_bytes=LARGEST,
        sent=LARGEST,
        rate=LARGEST,
        gpu=100,
        cpu=LARGEST,
        notice="n" * 64,
    )
    assert len(encode_moment(most)) < 1024


@given(st.lists(MOMENTS, max_size=5), st.binary(max_size=20).filter(lambda text: b"\n" not in text))
def test_what_a_crash_left_of_a_line_is_passed_by(found: list[Moment], torn: bytes) -> None:
    body = b"".join(encode_moment(one) + b"\n" + torn + b"\n" for one in found)
    assert moments(body) == found

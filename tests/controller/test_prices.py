"""What an hour costs, and whether the account may have it: pure, and the table that ships."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from runctl import prices
from runctl.beside import Beside, _price
from runctl.cost import _since
from runctl.hardware import Hardware, hardware_of, unfit, unknown
from runctl.image import Image
from runctl.offer import PRICE_LIST, Offer, dollars, line
from runctl.quota import Quota, counting, exceeded, quota_of
from runctl_agent.errors import RunctlError
from tests.controller.described import described

G5 = Hardware("g5.xlarge", 4, 16384, 1, "A10G", 22888, ("x86_64",))
C5 = Hardware("c5.large", 2, 4096, architectures=("x86_64",))


def test_the_table_that_ships() -> None:
    table = prices.table()
    assert table.region == "us-east-1"
    assert date(2026, 1, 1) < table.as_of
    assert all(0 < price < 200 for price in table.prices.values())
    assert prices.hourly("g5.xlarge", False) == 1.006
    assert prices.hourly("g5.xlarge", True) is None, "spot prices move"
    assert prices.hourly("g99.xlarge", False) is None


def test_its_age() -> None:
    table = prices.Table("us-east-1", date(2026, 9, 24), {})
    assert table.age(datetime(2026, 10, 1, 23, tzinfo=UTC).timestamp()) == 7
    assert table.age(0) == 0, "a clock that is behind makes no age"


@pytest.mark.parametrize(
    ("offer", "spot", "text"),
    [
        (Offer("g5.xlarge", G5, 1.006, source=PRICE_LIST), False, "$1.01 an hour"),
        (
            Offer("g5.xlarge", G5, 1.006, source="a table", as_of="2026-09-24", age=64),
            False,
            "$1.01 an hour (a table of 2026-09-24, 64 days old)",
        ),
        (
            Offer("g5.xlarge", G5, 1.0, source="a table", as_of="2026-09-24", age=64, region="us-east-1"),
            False,
            "$1.00 an hour (a table of 2026-09-24, 64 days old, of us-east-1)",
        ),
        (Offer("x", None), False, "its price is not known"),
        (Offer("x", None, 1.0, source=PRICE_LIST), True, "the spot price is not known; on demand $1.00 an hour"),
        (
            Offer("x", None, 1.0, 0.4, "us-east-1b", PRICE_LIST),
            True,
            "$0.400 an hour now in us-east-1b, as spot: 60 % less than $1.00 on demand",
        ),
        (Offer("x", None, 1.0, 1.2, "", PRICE_LIST), True, "$1.20 an hour now, as spot: no less than $1.00 on demand"),
        (Offer("x", None, None, 0.4), True, "$0.400 an hour now, as spot"),
    ],
)
def test_what_people_are_told(offer: Offer, *, spot: bool, text: str) -> None:
    assert offer.text(spot=spot) == text


def test_several_types_in_a_line() -> None:
    offers = [Offer("a", None, 1.0, source=PRICE_LIST), Offer("b", None, 2.0), Offer("c", None)]
    assert line(offers, spot=False) == "a: $1.00 an hour; else b $2.00, c ?"
    assert dollars(0.0416) == "$0.042"


@pytest.mark.parametrize(
    ("name", "on_demand", "spot"),
    [
        ("g5.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
        ("p5en.48xlarge", "L-417A185B", "L-C4BD4855"),
        ("trn1.32xlarge", "L-2C3B7624", "L-6B0D517C"),
        ("m7i.large", "L-1216C47A", "L-34B43A08"),
        ("t3.medium", "L-1216C47A", "L-34B43A08"),
    ],
)
def test_which_quota_a_type_counts_against(name: str, on_demand: str, spot: str) -> None:
    assert [(quota_of(name, spot=one) or ("",))[0] for one in (False, True)] == [on_demand, spot]


def test_a_type_without_a_known_quota() -> None:
    assert quota_of("mac2.metal", spot=False) is None
    assert quota_of("u-6tb1.metal", spot=False) is None


def test_what_counts_against_a_quota() -> None:
    def one(kind: str, *, spot: bool = False) -> dict[str, Any]:
        return {**described(spot=spot), "InstanceType": kind}

    living = [one("g5.xlarge"), one("g6.2xlarge"), one("g5.xlarge", spot=True), one("m5.large"), one("mac2.metal")]
    assert counting(living, "L-DB2E81BA") == ["g5.xlarge", "g6.2xlarge"]
    assert counting(living, "L-3819A6DF") == ["g5.xlarge"]
    assert counting(living, "L-1216C47A") == ["m5.large"]


def test_a_quota_that_one_more_does_not_fit_in() -> None:
    assert exceeded(Quota("L-DB2E81BA", "G and VT on demand", 8, 4), G5, "us-east-1") is None
    error = exceeded(Quota("L-DB2E81BA", "G and VT on demand", 8, 5), G5, "us-east-1")
    assert error is not None
    assert error.exit_code == 4
    assert error.why == "it has 4 vCPUs, and 5 of 8 vCPUs of G and VT on demand are in use"
    assert "--quota-code L-DB2E81BA --desired-value 9 --region us-east-1" in error.mend


def test_what_a_type_has() -> None:
    found = hardware_of(
        {
            "InstanceType": "g5.12xlarge",
            "VCpuInfo": {"DefaultVCpus": 48},
            "MemoryInfo": {"SizeInMiB": 196608},
            "GpuInfo": {"Gpus": [{"Count": 4, "Name": "A10G", "MemoryInfo": {"SizeInMiB": 24576}}]},
            "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
            "SupportedUsageClasses": ["on-demand", "spot"],
        }
    )
    assert str(found) == "48 vCPUs, 192 GiB, 4 × A10G (24 GiB)"
    assert found.spot
    assert str(hardware_of({"InstanceType": "x"})) == "0 vCPUs, 0 GiB, no GPU"


@pytest.mark.parametrize(
    ("found", "image", "gpus", "spot", "what"),
    [
        (G5, "x86_64", 1, True, []),
        (G5, "", 0, False, []),
        (C5, "x86_64", 1, False, ["c5.large has no GPU"]),
        (G5, "x86_64", 2, False, ["g5.xlarge has 1 of the 2 GPUs asked for"]),
        (C5, "arm64", 1, False, ["c5.large has no GPU", "c5.large can't start that image"]),
        (Hardware("p9", 1, 1, spot=False), "", 0, True, ["p9 is not to be had as spot"]),
    ],
)
def test_a_type_that_does_not_fit(found: Hardware, image: str, gpus: int, spot: bool, what: list[str]) -> None:
    problems = unfit(found, Image("ami-1", "/dev/sda1", 8, "", image), gpus=gpus, spot=spot)
    assert [error.what for error in problems] == what


def test_a_type_that_there_is_not() -> None:
    error = unknown("g5.xlrage", "us-east-1", ["g5.xlarge", "g5.2xlarge"])
    assert "did you mean g5.xlarge" in error.mend
    assert error.exit_code == 5
    assert "g5.xlarge" in unknown("g5.xlrage", "us-east-1", []).mend, "by the table, where the family is not there either"


PRICE, END = '{"terms": {"OnDemand": {"a": {"priceDimensions": {"b": {"pricePerUnit": {"USD": ', "}}}}}}}"


@pytest.mark.parametrize(
    "product",
    [
        f"{PRICE}1{'0' * 400}{END}",
        "{",
        "[]",
        "7",
        "[" * 100_000,
        '{"terms": null}',
        '{"terms": {"OnDemand": {"a": {"priceDimensions": {"b": null}}}}}',
    ],
)
def test_a_price_list_of_another_shape_is_an_error_with_a_mend(product: str) -> None:
    with pytest.raises(RunctlError), Beside("eu-central-1")._call("pricing", "GetProducts"):
        _price([product])


@pytest.mark.parametrize(
    ("reason", "at"),
    [
        ("User initiated (2026-11-23 18:09:35 GMT)", 1_795_457_375.0),
        ("User initiated (2026-11-23 36:09:35 GMT)", None),
        ("User initiated (2026-02-31 18:09:95 GMT)", None),
    ],
)
def test_a_time_that_there_is_not_says_nothing_of_the_cost(reason: str, at: float | None) -> None:
    assert _since(reason) == at

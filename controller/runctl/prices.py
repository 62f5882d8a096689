"""What an instance costs an hour."""

from __future__ import annotations


def hourly(_instance_type: str, _spot: bool) -> float | None:
    """US dollars an hour; None where the price is not known."""
    return None

"""What every object store has to do: one suite, run on each of them.

A subclass gives the fixtures `store` and `prefix` (an empty place of its own), and says in `lacks` what its store is known not
to do (`store_place.py`).
"""

from __future__ import annotations

from tests.contract.multipart_suite import MultipartSuite
from tests.contract.object_suite import ObjectSuite


class StoreSuite(ObjectSuite, MultipartSuite):
    """Whoever adds a store runs it."""

"""No reader raises but what it declares, nor takes memory on a size's word: the kept inputs, and two hundred new ones each."""

from __future__ import annotations

import pytest

from .mutation import Mutator
from .targets import TARGETS
from .trial import CORPUS, bounded, kept, weighed

FRESH = 200
LARGEST_CORPUS = 300_000


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_what_is_declared(name: str) -> None:
    target = TARGETS[name]
    inputs = kept(target)
    mutator = Mutator(20261127, inputs, target.deepest)
    inputs += [mutator.mutated(inputs[number % len(inputs)]) for number in range(FRESH)]
    with bounded():
        target.read(target.seeds[0])  # what is made once stays, and is nobody's blow-up
        failures = {trial.failure: body[:200] for body in inputs if (trial := weighed(target, body)).failure}
    assert failures == {}


def test_the_corpus_is_small_and_each_of_it_is_somebodys() -> None:
    files = [path for path in CORPUS.glob("*/*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_CORPUS
    assert {path.parent.name for path in files} <= set(TARGETS)

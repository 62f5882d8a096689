"""The model of retention beside references: DESIGN section 5, `store/pins.py` and `store/retain.py`.

Four checkpoints are committed, or about to be and to name the data of the oldest, A:

    A   committed; names its own data
    B   committed, `latest` at first; names its own data, in a chain A's too
    Z   being committed by the agent of epoch 1, a zombie once epoch 2 is taken
    Y   being committed by the agent of epoch 2; ranks above Z

and there are pruners of both epochs. Each step of a process is one request. A write may be late: the process sees an
error and begins again, and the write lands at any time, or never. A process may crash, and begins again.

A data object is named by the small letter of the checkpoint that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from runctl_agent.store.retain import ORDER, Step

from .explore import Explored, explore

RANK = {"A": 1, "B": 2, "Z": 3, "Y": 4}
NOBODY: frozenset[str] = frozenset()
WRITER = ("pin", "gc", "manifest")
"""The order of `store/pins.py`; `latest` comes after it."""


@dataclass(frozen=True)
class Rules:
    """The rule as designed; a test leaves a part of it out, or swaps two steps."""

    order: tuple[Step, ...] = ORDER
    writer: tuple[str, ...] = WRITER
    chain: bool = False  # B names A's data too, and it is B that the writers know it from; else they know it from A
    asks: bool = True  # whether that one is condemned
    swaps_gc: bool = True  # by compare-and-swap
    for_ever: bool = True  # entries of gc.json
    fence: bool = True  # gc.json keeps lower epochs out
    swaps_pins: bool = True
    pins_grow: bool = True
    keeps_pins: bool = True  # until the checkpoint is committed or condemned
    keeps_latest: bool = True
    dooms_pins: bool = True  # of what was never committed and ranks too low
    names: str = "a"  # whose data a writer may find that it needs not send
    readers_ask: bool = True  # readers ignore the condemned
    manifests_prove: bool = False  # to those who don't read gc.json either
    keep_last: int = 1
    writers: tuple[str, ...] = ("Z", "Y")
    pruners: tuple[int, ...] = (2,)
    late: int = 1
    crashes: int = 1


class Names(NamedTuple):
    """A manifest, or a pin: `of` names the data `data`."""

    of: str
    data: frozenset[str]


class Gc(NamedTuple):
    condemned: frozenset[str]
    fence: int


class Write(NamedTuple):
    """One that may still land. `if_`: what must stand where it goes; None: unconditional."""

    where: str
    what: object
    if_: object = None


class Writer(NamedTuple):
    of: str
    at: int  # in Rules.writer; beyond it `latest`, then done
    other: str = ""  # whose data it would name, in this try; found anew in each
    sent: bool = False  # its own instead


class Pruner(NamedTuple):
    epoch: int
    at: str
    seen: Gc | None = None
    latest: str = ""
    doomed: frozenset[str] = NOBODY
    pinned: frozenset[Names] | None = None  # as listed, until both lists are there
    found: frozenset[Names] | None = None
    manifests: frozenset[str] = NOBODY  # what is still to be deleted
    loose: frozenset[str] = NOBODY
    pinless: frozenset[str] = NOBODY


class World(NamedTuple):
    manifests: frozenset[Names]
    data: frozenset[str]
    pins: frozenset[Names]
    gc: Gc
    latest: str
    epoch: int
    writers: tuple[Writer, ...]
    pruners: tuple[Pruner, ...]
    late: frozenset[Write] = frozenset()
    may_be_late: int = 1
    may_crash: int = 1
    entered: bool = False
    foul: str = ""


def start(rules: Rules) -> World:
    manifests = frozenset({Names("A", frozenset("a")), Names("B", frozenset("ab" if rules.chain else "b"))})
    writers = tuple(Writer(name, 0) for name in rules.writers)
    pruners = tuple(Pruner(epoch, "read") for epoch in rules.pruners)
    data = frozenset("ab") | {name.lower() for name in rules.writers}
    return World(manifests, data, frozenset(), Gc(NOBODY, 1), "B", 1, writers, pruners, frozenset(), rules.late, rules.crashes)


# --- what must not be ---


def explored(rules: Rules) -> Explored[World]:
    return explore(start(rules), steps(rules), wrong(rules))


def wrong(rules: Rules) -> Callable[[World], str]:
    def judge(world: World) -> str:
        if world.foul:
            return world.foul
        readable = {one.of: one.data for one in world.manifests if not (rules.readers_ask and one.of in world.gc.condemned)}
        for of, data in readable.items():
            if not data <= world.data:
                return f"{of} can be read and names data that is gone: {sorted(data - world.data)}"
        if world.latest not in readable:
            return f"latest names {world.latest}, which is not there"
        return ""

    return judge


# --- what can happen ---


def steps(rules: Rules) -> Callable[[World], Iterator[tuple[str, World]]]:
    def all_steps(world: World) -> Iterator[tuple[str, World]]:
        if world.epoch == 1:
            yield "epoch 2 is taken", world._replace(epoch=2)
        if world.epoch == 2 and not world.entered:
            gc = world.gc._replace(fence=2) if rules.fence else world.gc
            yield "the agent of epoch 2 enters", world._replace(gc=gc, entered=True)
        for write in world.late:
            yield f"late: {_shown(write)}", _land(world._replace(late=world.late - {write}), write)
        for n, writer in enumerate(world.writers):
            yield from _writer_steps(rules, world, n, writer)
        for n, pruner in enumerate(world.pruners):
            yield from _pruner_steps(rules, world, n, pruner)

    return all_steps


def _land(world: World, write: Write) -> World:
    """A write arrives; one whose condition does not hold is refused."""
    where, what, if_ = write
    if where == "gc":
        return world._replace(gc=what) if if_ is None or world.gc == if_ else world  # type: ignore[arg-type]
    if where == "latest":
        return world._replace(latest=str(what)) if world.latest == if_ else world
    if where == "delete data":
        return world._replace(data=world.data - {what})
    if where == "delete manifest":
        return world._replace(manifests=_without(world.manifests, what))
    if where == "delete pin":
        return world._replace(pins=_without(world.pins, what))
    assert isinstance(what, Names)
    if where == "pin":
        stands = _named(world.pins, what.of)
        refused = if_ is not None and stands != if_
        return world if refused else world._replace(pins=_without(world.pins, what.of) | {what})
    absent = all(one.of != what.of for one in world.manifests)
    return world._replace(manifests=world.manifests | {what}) if absent else world


def _writes(world: World, write: Write, again: World, text: str) -> Iterator[tuple[str, World]]:
    """The write lands, in `world`; or its answer is lost and it may land later, while the process begins again."""
    yield text, _land(world, write)
    if world.may_be_late:
        late = again._replace(late=again.late | {write}, may_be_late=again.may_be_late - 1)
        yield f"{text}: no answer", late


def _writer_steps(rules: Rules, world: World, n: int, writer: Writer) -> Iterator[tuple[str, World]]:
    of = writer.of
    if world.epoch < (1 if of == "Z" else 2) or writer.at > len(rules.writer):
        return
    begun = _with_writer(world, n, Writer(of, 0))
    if writer.at and world.may_crash:
        yield f"the writer of {of} crashes", begun._replace(may_crash=0)
    if writer.at:
        yield from _writer_step(rules, world, n, writer, begun)
        return
    for other in rules.names:
        yield from _writer_step(rules, world, n, writer._replace(other=other), begun)
    # A try that finds nothing to name, as after one that was told to send: no pin is needed.
    alone = _with_writer(world, n, Writer(of, rules.writer.index("manifest")))
    if not rules.pins_grow and _named(world.pins, of) != "absent":
        alone = _land(alone, _pin(rules, world, of, NOBODY))
    yield f"{of} finds nothing to name", alone


def _writer_step(rules: Rules, world: World, n: int, writer: Writer, begun: World) -> Iterator[tuple[str, World]]:
    of, own, other = writer.of, writer.of.lower(), writer.other
    step = rules.writer[writer.at] if writer.at < len(rules.writer) else "latest"
    on = _with_writer(world, n, writer._replace(at=writer.at + 1))
    if step == "pin":
        pin = _pin(rules, world, of, frozenset(other))
        yield from _writes(on, pin, begun, f"{of} writes the {_shown(pin)}")
    elif step == "gc":
        source = "B" if rules.chain else other.upper()
        sent = rules.asks and source in world.gc.condemned
        text = f"{of} reads gc.json ({_set(world.gc.condemned)}): {other} " + ("is sent instead" if sent else "may be named")
        yield text, _with_writer(world, n, writer._replace(at=writer.at + 1, sent=sent))
    elif step == "manifest":
        names = frozenset({own} if writer.sent or not other else {own, other})
        yield from _writes(on, Write("manifest", Names(of, names)), begun, f"{of} is committed, naming {_set(names)}")
    elif RANK[of] > RANK[world.latest]:
        yield from _writes(on, Write("latest", of, world.latest), begun, f"latest names {of}")
    else:
        yield f"{of} leaves latest at {world.latest}", on


def _pin(rules: Rules, world: World, of: str, names: frozenset[str]) -> Write:
    before = _named(world.pins, of)
    grown = names | before if rules.pins_grow and isinstance(before, frozenset) else names
    return Write("pin", Names(of, grown), before if rules.swaps_pins else None)


def _pruner_steps(rules: Rules, world: World, n: int, pruner: Pruner) -> Iterator[tuple[str, World]]:
    if world.epoch < pruner.epoch:
        return
    begun = _with_pruner(world, n, Pruner(pruner.epoch, "read"))
    if pruner.at != "read" and world.may_crash:
        yield f"the pruner of {pruner.epoch} crashes", begun._replace(may_crash=0)
    for text, after in _pruner_step(rules, world, n, pruner, begun):
        yield f"the pruner of {pruner.epoch} {text}", after


def _pruner_step(rules: Rules, world: World, n: int, pruner: Pruner, begun: World) -> Iterator[tuple[str, World]]:
    if pruner.at == "read":
        if world.epoch == pruner.epoch:  # else epoch.json says that it is fenced
            seen = Pruner(pruner.epoch, "list", world.gc, world.latest)
            text = f"reads gc.json ({_set(world.gc.condemned)}) and latest ({world.latest})"
            yield text, _with_pruner(world, n, seen)
        return
    if pruner.at == "list":
        doomed = _doomed(rules, world, pruner)
        manifests = frozenset(one.of for one in world.manifests) & (_condemned(pruner) | doomed)
        begins = pruner._replace(at=rules.order[0].value, doomed=doomed, manifests=manifests)
        yield f"lists manifests: {_set(doomed)} is doomed", _with_pruner(world, n, begins)
        return
    step = Step(pruner.at)
    match step:
        case Step.CONDEMN:
            yield from _condemn(rules, world, pruner, _goes_on(rules, world, n, pruner), begun)
        case Step.PINS:
            listed = _compared(rules, world, pruner._replace(pinned=world.pins))
            yield f"lists pins: {_all(world.pins)}", _goes_on(rules, world, n, listed)
        case Step.NAMED:
            listed = _compared(rules, world, pruner._replace(found=world.manifests))
            yield f"lists manifests: {_all(world.manifests)}", _goes_on(rules, world, n, listed)
        case _:
            todo = _todo(pruner, step)
            if not todo:
                yield "has nothing to delete", _goes_on(rules, world, n, pruner)
                return
            first = min(todo)
            rest = _without_todo(pruner, step, first)
            on = _with_pruner(world, n, rest) if todo != {first} else _goes_on(rules, world, n, rest)
            if step is Step.DATA and rules.manifests_prove and any(first in one.data for one in world.manifests):
                on = on._replace(foul=f"the data {first} was deleted while a manifest that names it stood")
            what = {Step.MANIFESTS: "manifest", Step.DATA: "data", Step.UNPIN: "pin"}[step]
            yield from _writes(on, Write(f"delete {what}", first), begun, f"deletes the {what} {first}")


def _todo(pruner: Pruner, step: Step) -> frozenset[str]:
    return {Step.MANIFESTS: pruner.manifests, Step.DATA: pruner.loose, Step.UNPIN: pruner.pinless}[step]


def _without_todo(pruner: Pruner, step: Step, done: str) -> Pruner:
    if step is Step.MANIFESTS:
        return pruner._replace(manifests=pruner.manifests - {done})
    if step is Step.DATA:
        return pruner._replace(loose=pruner.loose - {done})
    return pruner._replace(pinless=pruner.pinless - {done})


def _goes_on(rules: Rules, world: World, n: int, pruner: Pruner) -> World:
    """To the next step that has something to do; after the last it begins again."""
    for step in rules.order[rules.order.index(Step(pruner.at)) + 1 :]:
        if step in (Step.CONDEMN, Step.PINS, Step.NAMED) or _todo(pruner, step):
            return _with_pruner(world, n, pruner._replace(at=step.value))
    return _with_pruner(world, n, Pruner(pruner.epoch, "read"))


def _condemned(pruner: Pruner) -> frozenset[str]:
    assert pruner.seen is not None
    return pruner.seen.condemned | pruner.doomed


def _compared(rules: Rules, world: World, pruner: Pruner) -> Pruner:
    """Once both lists are there: which data of the condemned nobody names, and which pins nobody needs."""
    if pruner.pinned is None or pruner.found is None:
        return pruner
    condemned = _condemned(pruner)
    committed = {one.of for one in pruner.found}
    held = set().union(*(one.data for one in pruner.found if one.of not in condemned))
    held |= set().union(*(one.data for one in pruner.pinned if one.of not in condemned | committed))
    loose = frozenset(name for name in world.data if name.upper() in condemned and name not in held)
    needless = committed | condemned | (set() if rules.keeps_pins else set(RANK))
    pinless = frozenset(one.of for one in pruner.pinned if one.of in needless)
    return pruner._replace(pinned=None, found=None, loose=loose, pinless=pinless)


def _condemn(rules: Rules, world: World, pruner: Pruner, on: World, begun: World) -> Iterator[tuple[str, World]]:
    seen = pruner.seen
    assert seen is not None
    if not pruner.doomed:
        yield "has nothing to condemn", on
        return
    text = f"condemns {_set(pruner.doomed)}"
    if rules.fence and seen.fence > pruner.epoch:
        yield "is fenced", begun
        return
    if rules.swaps_gc and world.gc != seen:
        yield f"{text}: gc.json is another one by now", begun
        return
    before = seen.condemned if rules.for_ever else NOBODY
    gc = Gc(before | pruner.doomed, max(seen.fence, pruner.epoch) if rules.fence else seen.fence)
    if world.entered and pruner.epoch < 2:
        on = on._replace(foul=f"the pruner of {pruner.epoch} condemned {_set(pruner.doomed)} after epoch 2 had entered")
    yield from _writes(on, Write("gc", gc, seen if rules.swaps_gc else None), begun, text)


def _doomed(rules: Rules, world: World, pruner: Pruner) -> frozenset[str]:
    assert pruner.seen is not None
    listed = sorted((one.of for one in world.manifests if one.of not in pruner.seen.condemned), key=RANK.__getitem__)
    kept = set(listed[-rules.keep_last :])
    if rules.keeps_latest:
        kept |= {of for of in listed if RANK[of] >= RANK[pruner.latest]}
    doomed = frozenset(listed) - kept
    if rules.dooms_pins:  # of the zombie alone: the agent of epoch 2 knows what it may still commit itself
        floor = min(RANK[of] for of in kept)
        never = {one.of for one in world.pins if one.of == "Z"} - set(listed) - pruner.seen.condemned
        doomed |= {of for of in never if RANK[of] < floor}
    return doomed


# --- small things ---


def _named(those: frozenset[Names], of: str) -> frozenset[str] | str:
    return next((one.data for one in those if one.of == of), "absent")


def _without(those: frozenset[Names], of: object) -> frozenset[Names]:
    return frozenset(one for one in those if one.of != of)


def _with_writer(world: World, n: int, writer: Writer) -> World:
    return world._replace(writers=(*world.writers[:n], writer, *world.writers[n + 1 :]))


def _with_pruner(world: World, n: int, pruner: Pruner) -> World:
    return world._replace(pruners=(*world.pruners[:n], pruner, *world.pruners[n + 1 :]))


def _at_pruner(world: World, n: int, **listed: frozenset[Names]) -> World:
    return _with_pruner(world, n, world.pruners[n]._replace(**listed))  # type: ignore[arg-type]


def _set(names: frozenset[str]) -> str:
    return "{" + ", ".join(sorted(names)) + "}"


def _all(those: frozenset[Names]) -> str:
    return ", ".join(f"{one.of} names {_set(one.data)}" for one in sorted(those)) or "none"


def _shown(write: Write) -> str:
    what = f"{write.what.of} naming {_set(write.what.data)}" if isinstance(write.what, Names) else write.what
    return f"{write.where} {what}"

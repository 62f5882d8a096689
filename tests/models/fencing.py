"""The model of epoch, seal and rank: DESIGN section 5, `store/epoch.py`, `store/seal.py` and `store/commit.py`.

A is committed and `latest` at first, in epoch 1. Up to three agents commit one checkpoint each, by the steps of `Rules.steps`:

    Z   holds epoch 1 and does not know of any later one; commits z, of step 20
    N   a new instance, which goes on from A; commits n, of step 15
    M   a disk of epoch 1 that comes back with its journal; commits m, of step 25, which lay there before it takes its epoch
    R   holds epoch 2, which committed nothing yet, and commits r, of step 15, which is in its journal
    S   the same disk after a new boot, or beside a new training; commits s, of step 20, which was written after r and is not

Each step is one request. A write may be late: its agent sees an error and begins again, and the write lands at any time, or
never. An agent may crash, and begins again in the same boot; once it has sealed its journal knows its epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from runctl_agent.lineage import backlog_rank

from .explore import Explored, explore

STEP = {"A": 10, "z": 20, "n": 15, "m": 25, "c": 20, "r": 15, "s": 20}
STEPS = ("read epoch", "take", "read latest", "list", "seal", "commit", "look", "point")
SEALED = "commit"


@dataclass(frozen=True)
class Rules:
    """The rule as designed; a test leaves a part of it out, or swaps two steps."""

    steps: tuple[str, ...] = STEPS
    swaps_epoch: bool = True  # by compare-and-swap
    reads_back: bool = True  # else an answer that is lost passes for a success
    swaps_latest: bool = True
    keeps_named: bool = True  # what `latest` names is a candidate of the seal, listed or not
    seals_fence: bool = True
    asks_fence: bool = True
    asks_rank: bool = True
    ranks_epoch: bool = True  # the rank begins with the rank epoch
    ranks_backlog: bool = True  # below its agent's own epoch
    own_backlog: bool = True  # in the epoch that its disk's journal held before, not in that of what `latest` named
    caps_backlog: bool = True  # else, at the epoch that its disk's journal held before
    keeps_backlog: bool = True  # its rank, over a crash between the taking of the epoch and its journaling
    checks_instance: bool = True  # of a journal that a disk brings along
    keeps_overtaken: bool = True  # its epoch, over a restart in the same boot: nobody takes a run back without a new life
    agents: str = "ZNM"
    late: int = 1
    crashes: int = 1


class Ranked(NamedTuple):
    """Greater is newer, as `contract.manifest.order` has it."""

    epoch: int
    step: int
    key_epoch: int
    name: str


class Latest(NamedTuple):
    named: Ranked
    fence: int


class Holder(NamedTuple):
    epoch: int
    agent: str
    attempt: int


class Write(NamedTuple):
    """One that may still land. `if_`: what must stand where it goes; None: unconditional, or absent for a manifest."""

    where: str
    what: Holder | Latest | Ranked
    if_: Holder | Latest | None = None
    by: int = 0
    seals: bool = False


class Agent(NamedTuple):
    name: str
    at: str
    epoch: int = 0  # that it holds; 0: none
    attempt: int = 0
    before: int = 0  # that its disk's journal held before; 0: a new disk, and its checkpoint is of its own epoch
    mine: Ranked | None = None  # what it commits, as its journal has it since it sealed
    seen: Holder | Latest | None = None
    best: Ranked | None = None


class World(NamedTuple):
    holder: Holder
    latest: Latest
    manifests: frozenset[Ranked]
    agents: tuple[Agent, ...]
    sealed: int = 1  # by whom last
    late: frozenset[Write] = frozenset()
    may_be_late: int = 1
    may_crash: int = 1
    foul: str = ""


FIRST = Ranked(1, STEP["A"], 1, "A")


def explored(rules: Rules) -> Explored[World]:
    return explore(start(rules), steps(rules), wrong(rules))


def start(rules: Rules) -> World:
    """C, where it is among the agents, is Z's disk in another instance; where R is, epoch 2 was taken and sealed."""
    first = 2 if "R" in rules.agents else 1

    def agent(name: str) -> Agent:
        knows = name in "ZR" or (name == "C" and not rules.checks_instance)
        if knows:
            mine = Ranked(first if rules.ranks_epoch else 0, STEP[name.lower()], first, name.lower())
            return Agent(name, _first_of_commit(rules), first, before=first, mine=mine)
        return Agent(name, rules.steps[0], before=0 if name == "N" else first)

    agents = tuple(map(agent, rules.agents))
    holder, latest = Holder(first, "ZR"[first - 1], 0), Latest(FIRST, first)
    return World(holder, latest, frozenset({FIRST}), agents, first, may_be_late=rules.late, may_crash=rules.crashes)


# --- what must not be ---


def wrong(rules: Rules) -> Callable[[World], str]:
    def judge(world: World) -> str:
        if world.foul:
            return world.foul
        held = [agent.epoch for agent in world.agents if agent.epoch]
        if len(set(held)) < len(held):
            return f"two agents hold epoch {max(epoch for epoch in held if held.count(epoch) > 1)}"
        if world.latest.named not in world.manifests:
            return f"latest names {world.latest.named.name}, which was never committed"
        newest = max(world.manifests)
        if newest.name != "n" and any(one.name == "n" for one in world.manifests):
            return f"a restore takes {newest.name}, although n went on from what was newest when its agent took the run"
        if newest.name == "r" and any(one.name == "s" for one in world.manifests):
            return "a restore takes r, although s was written after it on the same disk"
        heirs = [agent.epoch for agent in world.agents if agent.name == "N" and agent.epoch]
        if world.holder.agent == "Z" and any(world.latest.fence > epoch for epoch in heirs):
            return "the heir is fenced by the one before it, whose agent only restarted"
        return ""

    return judge


# --- what can happen ---


def steps(rules: Rules) -> Callable[[World], Iterator[tuple[str, World]]]:
    def all_steps(world: World) -> Iterator[tuple[str, World]]:
        for write in world.late:
            yield f"late: {write.where} {_shown(write.what)}", _land(world._replace(late=world.late - {write}), write)
        for n, agent in enumerate(world.agents):
            if agent.at == "done":
                continue
            if world.may_crash:
                yield f"{agent.name} crashes", _with(world._replace(may_crash=0), n, _restarted(rules, world, agent))
            for text, after in _step(rules, world, n, agent):
                yield f"{agent.name} {text}", after

    return all_steps


def _restarted(rules: Rules, world: World, agent: Agent) -> Agent:
    """What the journal knows is believed while `epoch.json` bears it or an heir. Its checkpoint stays what it was."""
    if agent.name in "MS" and agent.at == SEALED and not rules.keeps_backlog:
        agent = agent._replace(before=agent.epoch, mine=None)  # it was not in the journal yet
        return Agent(agent.name, rules.steps[0], 0, agent.attempt + 1, agent.before)
    kept = (world.holder.epoch, world.holder.agent) == (agent.epoch, agent.name)
    overtaken = rules.keeps_overtaken and world.holder.epoch > agent.epoch and world.holder.agent != agent.name
    if agent.mine is not None and agent.epoch and (kept or overtaken):
        return _again(rules, agent)
    return Agent(agent.name, rules.steps[0], 0, agent.attempt + 1, agent.epoch if agent.mine else agent.before, agent.mine)


def _again(rules: Rules, agent: Agent) -> Agent:
    """After an error: what is in the journal is not done anew."""
    at = rules.steps[0] if agent.mine is None or not agent.epoch else _first_of_commit(rules)
    epoch = agent.epoch if at != rules.steps[0] else 0
    return Agent(agent.name, at, epoch, agent.attempt + 1, agent.before, agent.mine)


def _first_of_commit(rules: Rules) -> str:
    return rules.steps[min(rules.steps.index(step) for step in ("commit", "look", "point"))]


def _step(rules: Rules, world: World, n: int, agent: Agent) -> Iterator[tuple[str, World]]:
    place = rules.steps.index(agent.at)
    on = agent._replace(at=rules.steps[place + 1] if place + 1 < len(rules.steps) else "done")
    begun = _with(world, n, _again(rules, agent))
    match agent.at:
        case "read epoch":
            yield f"reads epoch.json ({world.holder.epoch})", _with(world, n, on._replace(seen=world.holder))
        case "take":
            yield from _take(rules, world, n, agent, on)
        case "read latest":
            if rules.asks_fence and world.latest.fence > agent.epoch:
                yield "is fenced before it seals", _with(world, n, _taking(rules, agent))
            else:
                yield f"reads latest ({_shown(world.latest)})", _with(world, n, on._replace(seen=world.latest))
        case "list":
            best = max(world.manifests)
            yield f"lists manifests: {best.name} is the newest", _with(world, n, on._replace(best=best))
        case "seal":
            yield from _seal(rules, world, n, agent, on)
        case "commit":
            yield from _commit(world, n, agent, on, begun)
        case "look":
            fenced = rules.asks_fence and world.latest.fence > agent.epoch
            older = rules.asks_rank and world.latest.named >= _mine(agent)
            if fenced or older:
                yield f"leaves latest: {_shown(world.latest)}", _with(world, n, _passing(rules, agent))
            else:
                yield f"reads latest ({_shown(world.latest)})", _with(world, n, on._replace(seen=world.latest))
        case "point":
            latest = Latest(_mine(agent), max(agent.epoch, world.latest.fence if not rules.swaps_latest else 0))
            yield from _swap(rules, world, n, agent, on, begun, latest, "lets")


def _passing(rules: Rules, agent: Agent) -> Agent:
    """Past the pointing, to a commit that a rule has after it."""
    rest = rules.steps[rules.steps.index("point") + 1 :]
    return agent._replace(at=rest[0] if rest else "done")


def _take(rules: Rules, world: World, n: int, agent: Agent, on: Agent) -> Iterator[tuple[str, World]]:
    seen = agent.seen
    assert isinstance(seen, Holder)
    mine = Holder(max(seen.epoch, world.latest.fence) + 1, agent.name, agent.attempt)
    taken = _with(world, n, on._replace(epoch=mine.epoch))
    begun = _with(world, n, _taking(rules, agent))
    if rules.swaps_epoch and world.holder != seen:
        yield "loses the epoch to another", begun
        return
    write = Write("epoch.json", mine, seen if rules.swaps_epoch else None)
    yield f"takes epoch {mine.epoch}", _land(taken, write)
    if world.may_be_late:
        unanswered = begun if rules.reads_back else taken
        yield f"takes epoch {mine.epoch}: no answer", _later(unanswered, write)


def _seal(rules: Rules, world: World, n: int, agent: Agent, on: Agent) -> Iterator[tuple[str, World]]:
    assert isinstance(agent.seen, Latest)
    assert agent.best is not None
    best = max(agent.best, agent.seen.named) if rules.keeps_named else agent.best
    latest = Latest(best, agent.epoch if rules.seals_fence else agent.seen.fence)
    sealed = on._replace(mine=agent.mine or _ranked(rules, agent, best))
    begun = _with(world, n, _taking(rules, agent))
    yield from _swap(rules, world, n, agent, sealed, begun, latest, "seals:")


def _taking(rules: Rules, agent: Agent) -> Agent:
    return Agent(agent.name, rules.steps[0], 0, agent.attempt + 1, agent.before, agent.mine)


def _ranked(rules: Rules, agent: Agent, best: Ranked) -> Ranked:
    """What it will commit; `best`: what `latest` names as it seals."""
    name = agent.name.lower()
    epoch = agent.epoch
    if agent.before and rules.ranks_backlog:
        named = min(best.epoch, agent.before) if rules.caps_backlog else best.epoch
        epoch = backlog_rank(agent.epoch, best.epoch, agent.before) if rules.own_backlog else named
    return Ranked(epoch if rules.ranks_epoch else 0, STEP[name], agent.epoch, name)


def _swap(
    rules: Rules, world: World, n: int, agent: Agent, on: Agent, begun: World, latest: Latest, text: str
) -> Iterator[tuple[str, World]]:
    seen = agent.seen
    assert isinstance(seen, Latest)
    if rules.swaps_latest and world.latest != seen:
        yield "finds another latest by now", _with(world, n, agent._replace(at=_reread(agent), seen=None, best=None))
        return
    write = Write("latest", latest, seen if rules.swaps_latest else None, agent.epoch, agent.at == "seal")
    yield f"{text} latest name {_shown(latest)}", _land(_with(world, n, on), write)
    if world.may_be_late:
        yield f"{text} latest name {_shown(latest)}: no answer", _later(begun, write)


def _reread(agent: Agent) -> str:
    return "read latest" if agent.at == "seal" else "look"


def _mine(agent: Agent) -> Ranked:
    assert agent.mine is not None
    return agent.mine


def _commit(world: World, n: int, agent: Agent, on: Agent, begun: World) -> Iterator[tuple[str, World]]:
    write = Write("manifest", _mine(agent))
    yield f"commits {_shown(write.what)}", _land(_with(world, n, on), write)
    if world.may_be_late:
        yield f"commits {_shown(write.what)}: no answer", _later(begun, write)


def _land(world: World, write: Write) -> World:
    """A write arrives; one whose condition does not hold is refused. What must not happen to `latest` is noted here."""
    if isinstance(write.what, Holder):
        return world._replace(holder=write.what) if write.if_ in (None, world.holder) else world
    if isinstance(write.what, Ranked):
        absent = all((one.name, one.key_epoch) != (write.what.name, write.what.key_epoch) for one in world.manifests)
        return world._replace(manifests=world.manifests | {write.what}) if absent else world
    if write.if_ not in (None, world.latest):
        return world
    foul = world.foul
    if write.what.named < world.latest.named:
        foul = f"latest went back from {world.latest.named.name} to {write.what.named.name}"
    elif write.by < world.sealed:
        foul = f"epoch {write.by} moved latest, which epoch {world.sealed} had sealed"
    sealed = max(world.sealed, write.by) if write.seals else world.sealed
    return world._replace(latest=write.what, sealed=sealed, foul=foul)


def _later(world: World, write: Write) -> World:
    return world._replace(late=world.late | {write}, may_be_late=world.may_be_late - 1)


def _with(world: World, n: int, agent: Agent) -> World:
    """What a step need not know any more is forgotten, so that equal worlds are equal."""
    if agent.at not in ("take", "list", "seal", "point"):
        agent = agent._replace(seen=None)
    if agent.at not in ("read latest", "seal"):
        agent = agent._replace(best=None)
    return world._replace(agents=(*world.agents[:n], agent, *world.agents[n + 1 :]))


def _shown(what: Holder | Latest | Ranked) -> str:
    if isinstance(what, Latest):
        return f"{what.named.name}, fence {what.fence}"
    return f"{what.epoch}" if isinstance(what, Holder) else f"{what.name} (rank epoch {what.epoch}, step {what.step})"

"""What is taken out of the code to see that the crash tests notice: a mitigation each, and the test that has to fail.

`make mutations` applies one at a time to a copy of the repository. The mutated code still works when nobody dies (the
control passes), so a test that fails does so because of the kill. `docs/promises.md` has the results.
"""

from __future__ import annotations

from dataclasses import dataclass

_MATRIX = "tests/crash/test_turn_matrix.py"
CONTROL = f"{_MATRIX}::test_killed_nowhere_it_is_so_as_well[sqlite]"


@dataclass(frozen=True)
class Change:
    """A text that occurs once in a file, and what it becomes."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    """`without`: what is taken out. `places`: failpoints at which that is what keeps the promise, with the pass.

    `tests`: further ones that have to fail. `control`: what still has to pass; '' where it can't be told apart.
    """

    without: str
    changes: tuple[Change, ...]
    places: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    control: str = CONTROL

    @property
    def fails(self) -> list[str]:
        """Ids of the tests that have to fail."""
        here = [f"{_MATRIX}::test_killed_there_it_is_as_if_nothing_had_been[sqlite-{place}]" for place in self.places]
        return [*here, *self.tests]


_ZOMBIE = "tests/crash/test_zombie.py::test_what_a_zombie_writes_late_is_refused_everywhere"
_LEASES = "tests/conformance/test_agent_leases.py"
_ENGINE, _RUNNER = "agent_service/turns/engine.py", "agent_service/turns/runner.py"
_ARCHIVAL = "tests/crash/test_archival_crash.py"
_CALLING, _LOG = "agent_service/turns/calling.py", "agent_service/turns/recall_log.py"

MUTATIONS = (
    Mutation(
        "a turn commits before it is acknowledged",
        (
            Change(
                _ENGINE,
                "        begun = await asyncio.shield(self._begin(tenant, request))\n",
                "        async def late():\n"
                "            await asyncio.sleep(0.3)\n"
                "            return await self._begin(tenant, request)\n\n"
                "        beginning = asyncio.ensure_future(late())\n"
                '        yield TurnEvent(turn_id=ids.derived("run", request.agent_id, request.request_id))\n'
                "        begun = await asyncio.shield(beginning)\n",
            ),
            Change(
                "agent_service/stores/turns.py",
                'id=ids.new("run")',
                'id=ids.derived("run", request.agent_id, request.request_id)',
            ),
        ),
        places=("accept:before:n=1", "accept:before:n=2"),
        control="",  # who resumes at once finds no turn, whoever dies
    ),
    Mutation(
        "what a process has left is taken up, at the start and every second",
        (
            Change(
                "agent_service/turns/unrun.py",
                "    ours = [each for each in found if each.owner not in elsewhere]\n",
                "    ours = list[Unfinished]()\n",
            ),
        ),
        places=("accept:after:n=1", "accept:after:n=2"),
    ),
    Mutation(
        "a turn that is taken up asks the model again",
        (
            Change(
                _RUNNER,
                "            self._guide.offer()\n",
                "            if running.claimed.record.attempt > 1:\n"
                "                return await self._finish(step, turn_pb2.STOP_REASON_END_TURN)\n"
                "            self._guide.offer()\n",
            ),
        ),
        places=("model:before:n=1", "model:after:n=2", "finish:before:n=1"),
    ),
    Mutation(
        "readers are told that a step begins again",
        (
            Change(
                _RUNNER,
                "            await running.commit([running.events.journalled(step + 1, step_restarted=restarted)])\n",
                "            assert restarted\n",
            ),
        ),
        places=("model:before:n=2", "model:after:n=1"),
    ),
    Mutation(
        "calls that were journalled and have no result are run",
        (Change(_RUNNER, "if open_calls := journal.open_calls(running.feed.journalled):", "if open_calls := []:"),),
        places=("step:committed:n=1", "call:before:n=2"),
    ),
    Mutation(
        "a block edit commits together with its journal row",
        (
            Change(
                _CALLING,
                '        failpoints.reach("call:effect")\n',
                "        if outcome is None:\n"
                "            key = self._key(step, index)\n"
                "            outcome = await running.parts.store.write(lambda c: self._caller.edit(c, call, key))\n"
                '        failpoints.reach("call:effect")\n',
            ),
        ),
        places=("call:effect:n=1",),
    ),
    Mutation(
        "a call to another tier carries its key",
        (
            Change(
                "agent_service/tools/archival.py",
                "        request_id=context.key,\n",
                "        request_id=context.key + str(__import__('time').time_ns()),\n",
            ),
        ),
        places=("call:effect:n=2",),
    ),
    Mutation(
        "a call whose result is journalled is not run again",
        (
            Change(
                _RUNNER,
                "        if open_calls := journal.open_calls(running.feed.journalled):",
                '        answers = [e.message for e in running.feed.journalled if e.HasField("message")]\n'
                "        if open_calls := list(answers[-1].tool_calls) if answers else []:",
            ),
        ),
        places=("call:journalled:n=1",),
    ),
    Mutation(
        "who resumes is given what is in the journal",
        (
            Change(
                "agent_service/turns/feed.py",
                "        self.journalled = list(journalled)\n",
                "        self.journalled = list(journalled)\n"
                "        self.old = len(self.journalled) if len(self.journalled) > 1 else 0\n",
            ),
            Change(
                "agent_service/turns/feed.py",
                "[event for event in self.journalled if event.sequence > after_sequence]",
                "[event for event in self.journalled[self.old :] if event.sequence > after_sequence]",
            ),
            Change(
                "agent_service/turns/reading.py",
                "        return record, events\n",
                "        return record, [event for event in events if event.attempt == events[-1].attempt]\n",
            ),
        ),
        places=("events:before:n=1",),
    ),
    Mutation(
        "what the journal has goes to recall again after a restart",
        (
            Change(
                _LOG,
                "        self._sent = 0\n",
                "        self._sent = len(journal.batches(turn.id, feed.journalled, ended=False))\n",
            ),
        ),
        places=("recall:before:n=1",),
    ),
    Mutation(
        "an append has its place in the turn as request_id",
        (
            Change(
                _LOG,
                "                request_id=batch.request_id,\n",
                "                request_id=batch.request_id + str(__import__('time').time_ns()),\n",
            ),
        ),
        places=("recall:after:n=1",),
    ),
    Mutation(
        "an append that is sent again is known by its request_id and by its messages' ids",
        (
            Change(
                _LOG,
                '            failpoints.reach("recall:before")\n',
                "            request.request_id += str(__import__('time').time_ns())\n"
                "            for message in request.messages:\n"
                '                message.ClearField("id")\n'
                '            failpoints.reach("recall:before")\n',
            ),
        ),
        places=("recall:after:n=2", "settled:n=1"),
    ),
    Mutation(
        "a turn ends in the commit of its last events",
        (
            Change(
                _RUNNER,
                '        failpoints.reach("finish:before")\n',
                "        from agent_service.stores import turns\n\n"
                "        await running.parts.store.write(lambda c: turns.mark(c, running.tenant, turn))\n"
                '        failpoints.reach("finish:before")\n',
            ),
        ),
        places=("finish:before:n=2",),
    ),
    Mutation(
        "a turn that has ended is marked until recall has it",
        (
            Change(
                "agent_service/stores/unfinished.py",
                "    return turns.c.state.in_(states) | turns.c.recall_pending\n",
                "    return turns.c.state.in_(states)\n",
            ),
        ),
        places=("finish:committed:n=1", "recall:before:n=3"),
    ),
    Mutation(
        "a request_id is one turn",
        (
            Change(
                "agent_service/stores/turns.py",
                "    if known is not None:\n",
                '    if known is not None:\n        request.request_id += "+"\n    if False:\n',
            ),
        ),
        tests=("tests/crash/test_turns.py::test_a_replay_after_the_restart_attaches_and_does_not_run_again",),
        control="",
    ),
    Mutation(
        "turns that waited run in their order",
        (
            Change(
                "agent_service/stores/unfinished.py",
                "        .order_by(turns.c.position)\n    )\n    return [\n        Unfinished",
                "        .order_by(turns.c.position.desc())\n    )\n    return [\n        Unfinished",
            ),
        ),
        tests=("tests/crash/test_turns.py::test_turns_that_waited_are_run_in_order_after_a_kill",),
    ),
    Mutation(
        "a call of others is journalled before it runs",
        (
            Change(
                _CALLING,
                "        once = [call for call in calls if not self._caller.is_repeatable(call)]\n",
                "        once = calls[:0]\n",
            ),
        ),
        tests=(
            "tests/crash/test_waiting.py::test_a_call_of_an_outside_tool_that_a_kill_broke_off_is_never_made_again",
        ),
    ),
    Mutation(
        "an answer to a waiting turn is journalled before it is acknowledged",
        (
            Change(
                "agent_service/turns/pausing.py",
                "        await self._commit([event])\n        return event.sequence\n",
                "        self._running.feed.record(self._running.numbered([event]))\n"
                "        self._running.send([event])\n        return event.sequence\n",
            ),
        ),
        tests=("tests/crash/test_waiting.py::test_a_wait_and_its_acknowledged_answer_outlive_a_kill",),
    ),
    Mutation(
        "the journal refuses an older fence",
        (
            Change(
                "agent_service/stores/conversations.py",
                "    if held is None or held.fence != lease.fence:\n",
                "    if held is None:\n",
            ),
        ),
        tests=(f"{_LEASES}::test_who_had_the_lease_before_can_journal_nothing_and_end_nothing[sqlite]",),
    ),
    Mutation(
        "recall refuses an older fence",
        (
            Change(
                "recall_service/stores/appending.py",
                "    if 0 < request.fence.token < counter.fence:\n",
                "    if counter.fence < 0:\n",
            ),
        ),
        tests=(f"{_ZOMBIE}[step:committed:n=1]",),
    ),
    Mutation(
        "archival refuses an older fence",
        (
            Change(
                "archival_service/stores/inserting.py",
                "    if fence.token and fence.token < (_highest(connection, tenant, fence.scope) or 0):\n",
                "    if fence.token < 0:\n",
            ),
        ),
        tests=(f"{_ZOMBIE}[step:committed:n=1]",),
    ),
    Mutation(
        "a conversation's new owner raises the fence",
        (Change("agent_service/stores/conversations.py", "        fence += 1\n", "        fence += 0\n"),),
        tests=(
            f"{_ZOMBIE}[finish:before:n=1]",
            f"{_LEASES}::test_who_had_the_lease_before_can_journal_nothing_and_end_nothing[sqlite]",
        ),
    ),
    Mutation(
        "what the outbox has is brought to archival's index before it serves",
        (Change("archival_service/opening.py", "        await keeper.heal(sql, index)\n", ""),),
        tests=(f"{_ARCHIVAL}::test_a_delete_that_died_between_store_and_index_is_healed_at_the_start[equal]",),
        control=f"{_ARCHIVAL}::test_what_was_acknowledged_outlives_a_kill",
    ),
)

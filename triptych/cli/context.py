"""`triptych context`: what the model sees of an agent, as a bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triptych.agent.v1.agent_pb2 import ContextTokens
from triptych.agent.v1.step_pb2 import GetStepContextResponse, Step
from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.cli.which import AgentArgument, agent_id

_WIDTH = 60
# Each part's field, what it is called, and its colour.
PARTS = (
    ("system_prompt", "instructions", "blue"),
    ("core_memory", "core memory", "magenta"),
    ("tools", "tools", "cyan"),
    ("summary", "summary", "yellow"),
    ("memory_facts", "times, notices", "white"),
    ("messages", "messages", "green"),
)


def context(
    agent: AgentArgument,
    conversation: Annotated[str, typer.Option(help="The conversation's id; default: the agent's default one.")] = "",
    step: Annotated[str, typer.Option(help="A step's id, or `last`: what it was sent, in place of what is now.")] = "",
    request: Annotated[bool, typer.Option("--request", help="With --step: print the request itself, as JSON.")] = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Show how full the model's window is, part by part."""
    console = Console()
    with client(data, address, api_key) as triptych:
        its_id = agent_id(triptych, agent)
        if not step:
            now = triptych.agents.context(its_id, conversation_id=conversation)
            _show(console, now.tokens, now.context_window)
            console.print(
                f"{now.recall_count:,} messages in recall, {now.archival_count:,} passages in archival memory"
            )
            return
        newest = next(iter(triptych.steps.list(agent_id=its_id)), None) if step == "last" else None
        if step == "last" and newest is None:
            raise typer.BadParameter("this agent has no steps yet", param_hint="--step")
        sent = triptych.steps.context(newest.id if newest else step)
    if request:
        typer.echo(sent.request_json)
        return
    _show(console, sent.step.tokens, sent.step.context_window)
    for line in _told(sent):
        console.print(line, soft_wrap=True, highlight=False)


def _show(console: Console, tokens: ContextTokens, window: int) -> None:
    """A bar of the window, then each part's tokens and share."""
    bar = Text()
    table = Table(box=None, show_header=False, pad_edge=False)
    for field, name, colour in PARTS:
        count = getattr(tokens, field)
        bar.append("█" * round(_WIDTH * count / max(window, 1)), style=colour)
        table.add_row(Text("■", style=colour), name, f"{count:,}", f"{count / max(window, 1):.1%}")
    bar.append("░" * max(0, _WIDTH - len(bar)), style="dim")
    console.print(bar)
    console.print(f"about {tokens.total:,} of {window:,} tokens")
    console.print(table)


def _told(sent: GetStepContextResponse) -> Iterator[str]:
    step: Step = sent.step
    usage = step.usage
    yield f"step {step.number} of {step.turn_id}: {step.model}, ended by {step.finish_reason or 'nothing told'}"
    yield (
        f"counted by the endpoint: {usage.prompt_tokens:,} tokens in ({usage.cached_tokens:,} cached), "
        f"{usage.completion_tokens:,} out"
    )
    first = f", the first text after {step.first_token_milliseconds:,.0f}" if step.first_token_milliseconds else ""
    yield f"{step.total_milliseconds:,.0f} ms{first}"
    if step.HasField("cost"):
        yield f"cost {step.cost:.6f}"
    if sent.updated_message_ids or sent.missing_messages:
        updated, missing = len(sent.updated_message_ids), sent.missing_messages
        yield f"since then {updated} of its messages were updated and {missing} deleted"

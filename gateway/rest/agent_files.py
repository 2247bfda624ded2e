"""Agent files: an agent with all its memory, out as JSON and in again."""

from __future__ import annotations

from typing import Annotated

from fastapi import File, Form, Header, Response, UploadFile

from gateway.agentfile.exporting import exported
from gateway.agentfile.importing import Importer, Wishes, parsed
from gateway.rest.agents import Known
from gateway.rest.common import Back, answer
from gateway.rest.endpoints import Router

router = Router(prefix="/v1/agents", tags=["agents"])


@router.get("/{agent_id}/export")
async def export_agent(agent_id: str, back: Back, known: Known, scrub_messages: bool = False) -> Response:
    return answer(await exported(back, known, agent_id, with_messages=not scrub_messages))


@router.post("/import")
async def import_agents(
    back: Back,
    known: Known,
    file: Annotated[UploadFile, File()],
    name: Annotated[str | None, Form()] = None,
    override_name: Annotated[str | None, Form()] = None,
    append_copy_suffix: Annotated[bool, Form()] = False,
    model: Annotated[str | None, Form()] = None,
    override_model_handle: Annotated[str | None, Form()] = None,
    embedding: Annotated[str | None, Form()] = None,
    override_existing_tools: Annotated[bool, Form()] = False,
    strip_messages: Annotated[bool, Form()] = False,
    x_override_embedding_model: Annotated[str | None, Header()] = None,
) -> Response:
    """New agents with what the file has; if one can't be made, none is. `missing_tools`: names of what they lack."""
    wishes = Wishes(
        name=name or override_name or "",
        copy_suffix=append_copy_suffix,
        model=model or override_model_handle or "",
        embedding=embedding or x_override_embedding_model or "",
        override_tools=override_existing_tools,
        strip_messages=strip_messages,
    )
    importer = Importer(back, known, parsed(await file.read()), wishes)
    return answer({"agent_ids": await importer.run(), "missing_tools": importer.missing_tools})

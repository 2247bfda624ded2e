"""RPCs as REST routes, with the contract's own messages as JSON."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import Request, Response
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from gateway import audit_trail
from gateway.rest import proto_json
from gateway.rest.common import answer
from gateway.rest.endpoints import Router
from gateway.rest.proto_json import Json
from servicekit import principal, resources, rpc, scopes

# HTTP method, path, RPC, and its field that the body is ('': it is the request). The path's parameters are fields too.
Route = tuple[str, str, str, str]
# Given the request, the RPC's name and its message: gives its answer.
Call = Callable[[Request, str, Message], Awaitable[Message]]


def add(router: Router, service: ServiceDescriptor, routes: Sequence[Route], call: Call) -> None:
    for http_method, path, name, field in routes:
        method = service.methods_by_name[name]
        router.add_api_route(
            path,
            _endpoint(method, field, call),
            methods=[http_method],
            operation_id=re.sub(r"\W+", "_", f"{http_method.lower()}{path}").strip("_"),
            name=name,
            openapi_extra=_documented(http_method, path, method, field),
        )


def _endpoint(method: MethodDescriptor, field: str, call: Call) -> Callable[[Request], Any]:
    request_type = message_factory.GetMessageClass(method.input_type)

    async def endpoint(request: Request) -> Response:
        fields = await _fields(request, method, field)
        if "request_id" in method.input_type.fields_by_name and "idempotency-key" in request.headers:
            fields.setdefault("request_id", request.headers["idempotency-key"])
        scopes.check(principal.current(), rpc.full_name(method))
        asked = proto_json.parsed(request_type, fields)
        response = await call(request, method.name, asked)
        if not scopes.reads(method.name):
            audit_trail.touched([*resources.named(asked), *resources.named(response)])
        return answer(proto_json.shown(response))

    return endpoint


async def _fields(request: Request, method: MethodDescriptor, field: str) -> Json:
    """The RPC's request: its fields are the query's and the body's, and above both the path's."""
    given = {**request.query_params, **await proto_json.body(request)}
    if not field:
        return {**given, **request.path_params}
    fields: Json = {
        field: {**given, **({"id": each} if (each := next(iter(request.path_params.values()), "")) else {})}
    }
    if "update_mask" in method.input_type.fields_by_name:
        fields["update_mask"] = ",".join(re.sub("_([a-z])", lambda found: found[1].upper(), name) for name in given)
    return fields


def _documented(http_method: str, path: str, method: MethodDescriptor, field: str) -> Json:
    """What OpenAPI says of a route beside what FastAPI sees of it: nothing but the path."""
    described = proto_json.schema(method.input_type)
    properties = described["properties"][field]["properties"] if field else described["properties"]
    in_path = re.findall(r"{(\w+)}", path)
    rest = {name: schema for name, schema in properties.items() if name not in (*in_path, "id")}
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path]
    if http_method in ("GET", "DELETE"):
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in rest.items()]
        return {"parameters": parameters}
    content = {"application/json": {"schema": {"type": "object", "properties": rest}}}
    return {"parameters": parameters, "requestBody": {"content": content}}

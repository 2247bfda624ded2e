"""python -m tests.load.flood URL KEY PATH CALLERS: asks for PATH as fast as it can, until it is killed."""

from __future__ import annotations

import asyncio
import sys

import httpx


async def main(url: str, key: str, path: str, callers: int) -> None:
    limits = httpx.Limits(max_connections=callers)
    async with httpx.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {key}"}, limits=limits, timeout=60
    ) as http:
        await http.get(path)
        print("flooding", flush=True)
        await asyncio.gather(*(_caller(http, path) for _ in range(callers)))


async def _caller(http: httpx.AsyncClient, path: str) -> None:
    while True:
        await http.get(path)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))

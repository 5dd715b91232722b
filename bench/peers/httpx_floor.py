"""The floor: what one writes first. FastAPI takes the body, httpx sends it on."""

import os
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

URL = os.environ["UPSTREAM"] + "/chat/completions"
HEADERS = {"authorization": "Bearer " + os.environ["UPSTREAM_KEY"]}


@asynccontextmanager
async def lifespan(app: FastAPI):
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/v1/chat/completions")
async def chat(request: Request):
    body = await request.json()
    client = request.app.state.client
    if not body.get("stream"):
        answer = await client.post(URL, json=body, headers=HEADERS)
        return JSONResponse(answer.json(), answer.status_code)
    answer = await client.send(client.build_request("POST", URL, json=body, headers=HEADERS), stream=True)

    async def events():
        try:
            async for data in answer.aiter_raw():
                yield data
        finally:
            await answer.aclose()

    return StreamingResponse(events(), answer.status_code, media_type="text/event-stream")

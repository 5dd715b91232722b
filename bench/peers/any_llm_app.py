"""any-llm behind FastAPI: its unified call, its own answer models."""

import os

from any_llm import AnyLLM
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

llm = AnyLLM.create("openai", api_key=os.environ["UPSTREAM_KEY"], api_base=os.environ["UPSTREAM"])
app = FastAPI()


@app.post("/v1/chat/completions")
async def chat(request: Request):
    body = await request.json()
    if not body.get("stream"):
        answer = await llm.acompletion(**body)
        return JSONResponse(answer.model_dump(mode="json"))
    chunks = await llm.acompletion(**body)

    async def events():
        async for chunk in chunks:
            yield b"data: " + chunk.model_dump_json().encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")

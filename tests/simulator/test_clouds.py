"""The addresses of Azure and Vertex AI: what they ask for beside the models' own formats."""

import httpx

from simulator.serve import RunningSimulator


async def test_clouds_refuse_who_shows_no_credential_or_names_no_version(
    sim: RunningSimulator, http: httpx.AsyncClient
) -> None:
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    place = "/v1/projects/p/locations/l"
    claude = {"max_tokens": 9, "messages": asked["messages"], "anthropic_version": "vertex-2023-10-16"}
    token = {"authorization": "Bearer t"}
    cases = [
        (401, "/openai/v1/chat/completions", asked, {}),
        (404, "/openai/deployments/gpt/chat/completions", asked, {"api-key": "k"}),
        (200, "/openai/deployments/gpt/chat/completions?api-version=1", asked, {"api-key": "k"}),
        (401, f"{place}/endpoints/openapi/chat/completions", asked, {}),
        (400, f"{place}/endpoints/openapi/chat/completions", asked, token),
        (401, f"{place}/publishers/anthropic/models/claude:rawPredict", claude, {}),
        (200, f"{place}/publishers/anthropic/models/claude:rawPredict", claude, token),
        (400, f"{place}/publishers/anthropic/models/claude:streamRawPredict", claude, token),
        (400, f"{place}/publishers/anthropic/models/claude:rawPredict", {**claude, "model": "claude"}, token),
        (400, f"{place}/publishers/anthropic/models/claude:rawPredict", {**claude, "anthropic_version": "x"}, token),
    ]
    for status, path, body, headers in cases:
        answer = await http.post(sim.origin + path, json=body, headers=headers)
        assert answer.status_code == status, (path, answer.text)


async def test_a_form_goes_to_the_deployment_in_its_path(sim: RunningSimulator, http: httpx.AsyncClient) -> None:
    answer = await http.post(
        f"{sim.origin}/openai/deployments/whisper-1/audio/transcriptions?api-version=1",
        files={"file": ("a.wav", b"RIFF")},
        data={"model": "other"},
        headers={"api-key": "k"},
    )
    assert answer.status_code == 200, answer.text

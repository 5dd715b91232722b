import pytest

from shared.surfaces.forwarded_paths import TEMPLATES, match_path


@pytest.mark.parametrize(
    "path",
    [
        "//files",
        "/files//file-1",
        "/files/",
        "/files/..",
        "/files/..;/models",
        "/files/%2e%2e",
        "/files/%252e%252e",
        "/files/a%5cb",
        "/files/a%2fb",
        "/files/a;b",
        "/files/a%00",
        "/files/a b",
        "/Files",
        "/chat/Completions",
        "/chat/completions;x",
        "/responses",
        "/embeddings",
        "/organization/admin_api_keys",
        "/files/" + "a" * 300,
        "/",
        "",
    ],
)
def test_any_other_path_is_not_forwarded(path: str) -> None:
    found = match_path(path)
    assert found is None or "POST" not in found.methods


@pytest.mark.parametrize(
    ("path", "template", "sent", "resource"),
    [
        ("/files", "/files", "/files", ""),
        ("/files/file-1/content", "/files/{id}/content", "/files/file-1/content", "file-1"),
        ("/threads/runs", "/threads/runs", "/threads/runs", ""),
        ("/threads/thread_1/runs/run_2", "/threads/{id}/runs/{part}", "/threads/thread_1/runs/run_2", "thread_1"),
        ("/models/ft%3Agpt-4o:a::b", "/models/{id}", "/models/ft:gpt-4o:a::b", "ft:gpt-4o:a::b"),
        ("/agents/sessions/s_1", "/agents/sessions/{id}", "/agents/sessions/s_1", "s_1"),
    ],
)
def test_a_known_path_is_built_anew(path: str, template: str, sent: str, resource: str) -> None:
    found = match_path(path)
    assert found is not None
    assert (found.template, found.path, found.resource_id) == (template, sent, resource)
    assert found.lists is not resource


def test_every_template_matches_itself() -> None:
    for template in TEMPLATES:
        path = template.text.replace("{id}", "a_1").replace("{part}", "b_2")
        found = match_path(path)
        assert found is not None
        assert found.methods >= {"GET"} or found.methods >= {"POST"} or "DELETE" in found.methods

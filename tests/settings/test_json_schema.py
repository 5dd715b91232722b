"""The JSON schema of the configuration file: it accepts what a start accepts, and knows every setting's meaning."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cli.commands.init import configuration
from cli.main import main
from shared.settings.json_schema import DIALECT, file_schema
from tests.docs.test_examples import examples

TABLES = {"budget", "budgets", "rate_limit", "rate_limits", "keys", "targets", "tiers"}
"""Settings that are tables: what is in them has a meaning."""
VALIDATOR = Draft202012Validator(file_schema())


def problems(text: str) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def test_it_is_a_schema_and_the_command_prints_it() -> None:
    Draft202012Validator.check_schema(file_schema())
    printed = json.loads(CliRunner().invoke(main, ["config", "schema"]).output)
    assert printed == file_schema()
    assert printed["$schema"] == DIALECT


@pytest.mark.parametrize("block", examples("toml"))
def test_every_example_of_the_documentation_is_accepted(block: str) -> None:
    assert problems(block) == []


def test_what_init_writes_is_accepted() -> None:
    text, _ = configuration({"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "FINOPS_ADMIN_KEY": "c"}, "finops.toml")
    assert problems(text) == []


@pytest.mark.parametrize(
    "text",
    [
        '[server]\nport = "env.PORT"',
        '[providers.openai]\nkeys = ["env.OPENAI_API_KEY"]',
        '[providers.openai]\nkeys = [{value = "env.OPENAI_API_KEY", weight = 2.0}]',
        '[routes.smart]\ntargets = ["openai/gpt-4o"]',
        '[store]\nencryption_key = "env.KEYS"',
    ],
)
def test_short_forms_and_variables_are_accepted(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize("text", ["[server]\nprot = 1", '[server]\nport = "abc"', "[server]\nport = 70000", "[nope]"])
def test_what_a_start_refuses_is_marked(text: str) -> None:
    assert problems(text)


def test_every_setting_has_its_meaning() -> None:
    def unexplained(section: Mapping[str, Any]) -> list[str]:
        settings = section.get("properties", {})
        return [name for name, setting in settings.items() if "description" not in setting and "$ref" not in setting]

    schema = file_schema()
    found = {name: unexplained(kind) for name, kind in schema["$defs"].items()}
    assert set().union(*found.values()) <= TABLES

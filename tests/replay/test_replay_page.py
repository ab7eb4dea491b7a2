"""Does docs/replay.md name every story and everything that a story may say, and is its example a story?

Effects: reads files
"""

import re
from pathlib import Path

import pytest

from xenios.cli.replay import shipped_stories
from xenios.replay.contestants import POLICY_NAMES
from xenios.replay.grammar import FORMS, SLOTS, Form
from xenios.replay.parse import parse_story

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "replay.md").read_text("utf-8")


def verb_of(form: Form) -> str:
    """The words of a form between who does it and what it is done to."""
    words = [
        word for word in form.words if word not in (*SLOTS, "administrator", "second", "manager", "guest")
    ]
    if words[0] in ("host", "hypervisor"):
        words = words[1:]
    return re.split(r" (as|to|on|from)$", " ".join(words))[0]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(form.words))
def test_each_form_is_explained(form: Form) -> None:
    assert f"`{verb_of(form)}" in PAGE


def test_each_story_is_named() -> None:
    for name in shipped_stories():
        assert f"`{name}`" in PAGE


def test_the_policies_of_the_example_are_there() -> None:
    (named,) = re.findall(r"--policies (\S+)", PAGE)
    assert set(named.split(",")) <= set(POLICY_NAMES)


def test_the_example_is_a_story() -> None:
    (example,) = (
        block for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) if "manager connects" in block
    )
    story = parse_story(example, "docs/replay.md")
    assert [vm.name for vm in story.vms] == ["web", "archive", "i-2-3-VM"]
    assert story.end_seconds == 5_430

"""Does docs/simulator.md name everything that a script may say?

Effects: reads files
"""

from pathlib import Path

import pytest

from xenios.simulator.faults import CallFault, Happening, Moment

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text("utf-8")
KEYS = (*CallFault.__struct_fields__, *Moment.__struct_fields__)


@pytest.mark.parametrize("key", sorted(set(KEYS)))
def test_each_key_of_a_script_is_explained(key: str) -> None:
    assert f"`{key}`" in PAGE


@pytest.mark.parametrize("happening", Happening, ids=lambda happening: happening.name)
def test_each_happening_is_explained(happening: Happening) -> None:
    assert f'`"{happening.value}"`' in PAGE

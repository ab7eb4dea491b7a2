"""Golden files: text that a test compares word for word. XENIOS_REFRESH_GOLDEN=1 writes them anew, to read in a diff.

Effects: reads files; writes golden files when asked to
"""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"
REFRESH = "XENIOS_REFRESH_GOLDEN"


def check_golden(name: str, text: str) -> None:
    """Fails with the lines that differ."""
    path = GOLDEN / name
    if os.environ.get(REFRESH) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    kept = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    now = text.splitlines()
    if kept == now:
        return
    gone, new = set(kept) - set(now), set(now) - set(kept)
    told = [f"- {line}" for line in kept if line in gone][:40] + [f"+ {line}" for line in now if line in new][
        :40
    ]
    raise AssertionError(
        "\n".join([f"{name} differs in {len(gone)} and {len(new)} lines; {REFRESH}=1 writes it anew", *told])
    )

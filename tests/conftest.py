"""What every test may ask for. The fixtures themselves live in `tests/support/`, one file per subject.

Effects: none
"""

from __future__ import annotations

pytest_plugins = ("tests.support.fixtures",)

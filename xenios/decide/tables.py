"""All tables, by name.

Effects: none
"""

from collections.abc import Mapping
from typing import Any

from xenios.decide.adopt import MAY_WE_ADOPT
from xenios.decide.changed import WHAT_CHANGED
from xenios.decide.disturb import MAY_WE_DISTURB
from xenios.decide.placement import MAY_RUN_HERE
from xenios.decide.release import MAY_WE_RELEASE
from xenios.decide.rules import Table
from xenios.decide.touch import MAY_WE_TOUCH

TABLES: Mapping[str, Table[Any]] = {
    table.name: table
    for table in (MAY_WE_TOUCH, MAY_WE_ADOPT, MAY_WE_RELEASE, WHAT_CHANGED, MAY_RUN_HERE, MAY_WE_DISTURB)
}

"""Imports every module that answers calls, so that each has said which ones.

A module with `@implements` in it that is not in this list answers nothing.

Effects: none
"""

from xenios.simulator import (
    copies,
    devices,
    disks,
    events,
    hosts,
    limits,
    messages,
    moves,
    networks,
    old_events,
    power,
    session_calls,
    task_calls,
    vm_records,
)

IMPORTED = (
    copies,
    devices,
    disks,
    events,
    hosts,
    limits,
    messages,
    moves,
    networks,
    old_events,
    power,
    session_calls,
    task_calls,
    vm_records,
)

"""Imports every module that answers calls, so that each has said which ones.

A module with `@implements` in it that is not in this list answers nothing.

Effects: none
"""

from xenios.simulator import events, messages, old_events, session_calls, task_calls
from xenios.simulator.verbs import copies, devices, disks, hosts, limits, moves, networks, power, vm_records

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

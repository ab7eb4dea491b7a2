"""The states that CloudStack gives to a VM, and what its agents make of the hypervisors' power states.

One set of names serves both sides in 4.0: what an agent reports and what the database says. 4.22 has power states of
its own for the reports.

Effects: none
"""

from enum import StrEnum

from xenios.model.inventory import PowerState


class State(StrEnum):
    """A VM's state in the database, and in 4.0 also in an agent's report."""

    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    MIGRATING = "Migrating"
    SHUTDOWNED = "Shutdowned"
    DESTROYED = "Destroyed"
    EXPUNGING = "Expunging"
    ERROR = "Error"
    UNKNOWN = "Unknown"


AGENT_STATES = (
    State.RUNNING,
    State.STOPPED,
    State.ERROR,
    State.SHUTDOWNED,
    State.STARTING,
    State.STOPPING,
    State.UNKNOWN,
    State.MIGRATING,
)
"""What an agent of 4.0 may report."""

XENSERVER_STATES_4_0 = {
    PowerState.HALTED: State.STOPPED,
    PowerState.RUNNING: State.RUNNING,
    PowerState.PAUSED: State.RUNNING,
    PowerState.SUSPENDED: State.RUNNING,
}
"""4.0's map on XenServer; whatever else is unknown to it."""

KVM_STATES_4_0 = {
    PowerState.HALTED: State.STOPPED,
    PowerState.SUSPENDED: State.STOPPED,  # its memory is kept on disk; libvirt calls it shut off
    PowerState.RUNNING: State.RUNNING,
    PowerState.PAUSED: State.RUNNING,
    PowerState.SHUTTING_DOWN: State.STOPPING,
}
"""4.0's map on KVM; whatever else is unknown to it."""


class PowerReport(StrEnum):
    """4.22's power states, as they are kept in the database."""

    ON = "PowerOn"
    OFF = "PowerOff"
    UNKNOWN = "PowerUnknown"
    MISSING = "PowerReportMissing"


XENSERVER_REPORTS_4_22 = {
    PowerState.RUNNING: PowerReport.ON,
    PowerState.HALTED: PowerReport.OFF,
    PowerState.PAUSED: PowerReport.OFF,
    PowerState.SUSPENDED: PowerReport.OFF,
}
"""4.22's map on XenServer. Only VMs on a host are reported, so of these only running and paused ones ever are."""

KVM_REPORTS_4_22 = {PowerState.RUNNING: PowerReport.ON, PowerState.PAUSED: PowerReport.ON}
"""4.22's map on KVM, of which only PowerOn is reported at all."""

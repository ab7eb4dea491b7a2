"""The demo's administrator: works on the simulated pool with XenServer's own client, as XenCenter or a script would.

Effects: changes the pool that it is given
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import XenAPI

Step = tuple[str, Callable[[], str]]
"""What is done, in words, and the doing of it; it returns the uuid of the VM concerned."""


class Administrator:
    """Logged in at a pool's master; every method blocks until the pool has answered."""

    def __init__(self, url: str, password: str) -> None:
        self._session = XenAPI.Session(url)
        self._session.xenapi.login_with_password("root", password, "1.0", "administrator")
        self._api: Any = self._session.xenapi

    def leave(self) -> None:
        """Logs out."""
        self._api.session.logout()

    def steps(self) -> Iterator[Step]:
        """A quarter of an hour of an administrator's day."""
        vms = self._api.VM.get_all_records()
        off = self._one(vms, "Halted")
        moving, leaving = islice(self._with_tools(vms), 2)
        template = next(
            ref for ref, vm in vms.items() if vm["is_a_template"] and not vm["is_default_template"]
        )
        name = vms[off]["name_label"]
        copy = "rehearsal-01"
        yield f"clones {name} as {copy}", lambda: self._uuid(self._api.VM.clone(off, copy))
        yield f"starts {copy}", lambda: self._done("start", self._named(copy), False, False)
        yield "creates test-01 from a template", lambda: self._create(template, "test-01")
        yield (
            f"moves {vms[moving]['name_label']} to another host, live",
            lambda: self._move(moving, vms[moving]),
        )
        yield f"shuts {vms[leaving]['name_label']} down", lambda: self._done("clean_shutdown", leaving)
        yield f"starts {vms[leaving]['name_label']} again", lambda: self._done("start", leaving, False, False)
        yield f"powers {copy} off and destroys it", lambda: self._destroy(self._named(copy))

    # --- what is there -----------------------------------------------------------------------------------------------

    def _one(self, vms: dict[str, Any], state: str) -> str:
        """A VM in a state, whose disks can be cloned."""
        return next(
            ref for ref, vm in vms.items() if vm["power_state"] == state and _is_machine(vm) and vm["VBDs"]
        )

    def _with_tools(self, vms: dict[str, Any]) -> Iterator[str]:
        """Running VMs that can be moved and asked to shut down."""
        wanted = {"pool_migrate", "clean_shutdown"}
        for ref, vm in vms.items():
            willing = _is_machine(vm) and wanted <= set(vm["allowed_operations"])
            if willing and self._lives(vm["resident_on"]) and self._hosts_for(ref, vm):
                yield ref

    def _lives(self, host: str) -> bool:
        return bool(self._api.host_metrics.get_live(self._api.host.get_metrics(host)))

    def _hosts_for(self, ref: str, vm: dict[str, Any]) -> list[str]:
        return [host for host in self._api.VM.get_possible_hosts(ref) if host != vm["resident_on"]]

    def _named(self, name: str) -> str:
        [ref] = self._api.VM.get_by_name_label(name)
        return str(ref)

    def _uuid(self, ref: str) -> str:
        return str(self._api.VM.get_uuid(ref))

    # --- what is done ------------------------------------------------------------------------------------------------

    def _done(self, verb: str, ref: str, *params: Any) -> str:
        getattr(self._api.VM, verb)(ref, *params)
        return self._uuid(ref)

    def _create(self, template: str, name: str) -> str:
        ref = self._api.VM.clone(template, name)
        self._api.VM.provision(ref)
        return self._uuid(ref)

    def _move(self, ref: str, vm: dict[str, Any]) -> str:
        self._api.VM.pool_migrate(ref, self._hosts_for(ref, vm)[0], {"live": "true"})
        return self._uuid(ref)

    def _destroy(self, ref: str) -> str:
        uuid = self._done("hard_shutdown", ref)
        self._api.VM.destroy(ref)
        return uuid


def _is_machine(vm: dict[str, Any]) -> bool:
    return not (vm["is_a_template"] or vm["is_a_snapshot"] or vm["is_control_domain"])

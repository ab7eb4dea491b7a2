"""Xenios: a VM control plane that moves into hypervisors already in use, as a tenant and not as an owner.

Start reading at model/decision.py, then decide/, then drivers/base.py; docs/architecture.md is the map.

Effects: none
"""

__version__ = "0.1.0"

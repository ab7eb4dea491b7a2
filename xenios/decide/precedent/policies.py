"""All managers that can be compared with, by their names on the command line.

Effects: none
"""

from xenios.decide.precedent.cloudstack import CloudStack
from xenios.decide.precedent.cloudstack_4_0 import CLOUDSTACK_4_0_2_PATCHED, CloudStack402
from xenios.decide.precedent.cloudstack_4_22 import CloudStack422

PRECEDENTS: tuple[CloudStack, ...] = (
    CloudStack402(),
    CloudStack402(name=CLOUDSTACK_4_0_2_PATCHED, title="CloudStack 4.0.2 with the patch", patched=True),
    CloudStack422(),
)
POLICIES = tuple(policy.name for policy in PRECEDENTS)
POLICY_TITLES = {policy.name: policy.title for policy in PRECEDENTS}
"""How each is called in a sentence."""

_BY_NAME = {policy.name: policy for policy in PRECEDENTS}


def policy_named(name: str) -> CloudStack:
    """The policy of this name. Raises ValueError for one that is not known."""
    if name not in _BY_NAME:
        raise ValueError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    return _BY_NAME[name]

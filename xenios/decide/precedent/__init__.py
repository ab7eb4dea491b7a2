"""What other managers would do to each VM of a pool. For comparison only: nothing acts on it.

policy.py is the form of every policy and policies.py the list of them; one_view.py is the comparison that a report
shows. Source: docs/precedent.md.

Effects: none
"""

from xenios.decide.precedent.cloudstack_4_0 import CLOUDSTACK_4_0_2, CLOUDSTACK_4_0_2_PATCHED
from xenios.decide.precedent.cloudstack_4_22 import CLOUDSTACK_4_22
from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.names import is_name_of_its_own_4_0, is_valid_user_vm_name_4_0
from xenios.decide.precedent.one_view import Harm, Precedent, precedent_of, precedents_of
from xenios.decide.precedent.policies import POLICIES, POLICY_TITLES

__all__ = [
    "CLOUDSTACK_4_0_2",
    "CLOUDSTACK_4_0_2_PATCHED",
    "CLOUDSTACK_4_22",
    "POLICIES",
    "POLICY_TITLES",
    "Harm",
    "Precedent",
    "is_name_of_its_own_4_0",
    "is_valid_user_vm_name_4_0",
    "name_uuid",
    "precedent_of",
    "precedents_of",
]

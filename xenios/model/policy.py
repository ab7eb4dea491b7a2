"""Thresholds of deciding: every number in it, with the reason for its default.

Effects: none
"""

import msgspec


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """When a view may be trusted, and for how long."""

    fresh_seconds: int = 600
    """What was seen longer ago shows what was. Twice the time between two complete views."""
    vms_lost_share_max: float = 0.2
    """A view that lost a larger share of the VMs than this is suspicious …"""
    vms_lost_free: int = 3
    """… unless it lost no more than so many, which an administrator deletes in a minute."""
    clock_jump_seconds_max: int = 120
    """So far may clocks disagree before the times of views prove nothing."""
    views_to_trust_again: int = 3
    """After a suspicious view, so many complete ones must agree with each other; or an operator agrees."""
    views_to_confirm_absence: int = 2
    """In so many complete views in a row a VM must be missing before it is taken for gone."""
    wish_seconds_max: int = 3600
    """A wish that was not met for so long is asked for again: who asked may have helped himself meanwhile."""
    quiet_seconds: int = 120
    """After start-up nothing is acted on for so long, and never before the first complete view of the pool."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be destroyed or interrupted, at most, whoever asks."""

    acts_max: int = 10
    """Within one window …"""
    window_seconds: int = 3600
    """… of this length, which slides."""
    at_once_max: int = 2
    """Under way at the same time."""

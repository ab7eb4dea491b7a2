"""Pure decisions: no clock, no I/O, no randomness. Given the same collection they say the same.

Effects: none
"""

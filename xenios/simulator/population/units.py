"""Sizes in bytes that a population is described with.

Effects: none
"""

MIB = 1024 * 1024
GIB = 1024 * MIB
TIB = 1024 * GIB

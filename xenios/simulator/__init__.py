"""A XenServer pool that is not there: its facts, its population, what can be done to it, and its wire.

The demo, the tests and the benchmarks need pools in use that can be made in a second and looked at without
fear.

Effects: none
"""

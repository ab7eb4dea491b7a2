"""A XenServer pool that is not there: its facts, its population and its database file.

The demo, the tests and the benchmarks need pools in use that can be made in a second and looked at without
fear.

Effects: none
"""

"""Makes a pool in use: everything that is in a simulated XenServer pool before anybody touches it.

Effects: none
"""

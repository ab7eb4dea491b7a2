"""One folder per hypervisor. Only a driver's client.py speaks to it; observe.py translates; drivers know no other.

Effects: none
"""

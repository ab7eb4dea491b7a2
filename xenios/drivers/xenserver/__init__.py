"""XenServer and XCP-ng pools: offline from their database file.

Effects: none
"""

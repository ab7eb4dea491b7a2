"""The command line.

Effects: none
"""

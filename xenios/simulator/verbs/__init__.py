"""What can be done to a simulated pool: when it is allowed, what it changes, and how long it takes.

Effects: none
"""

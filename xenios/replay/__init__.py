"""Playing a story to several managers at once, each in a world of its own, to see what every one of them does.

Effects: none
"""

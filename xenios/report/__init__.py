"""From a collection to a report: built once as data, rendered as text, JSON and one HTML page.

Effects: none
"""

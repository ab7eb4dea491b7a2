"""What is known of the XenServer API: its classes, fields, calls and errors.

Effects: none
"""

"""Puts a simulated pool on the wire: the encodings, HTTP, and the way without a socket.

Effects: none
"""

"""The nouns of Xenios: frozen dataclasses and enums that import nothing but each other.

Effects: none
"""

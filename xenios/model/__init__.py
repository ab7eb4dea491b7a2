"""The nouns of Xenios: frozen msgspec Structs and enums that import nothing of ours but each other.

Effects: none
"""

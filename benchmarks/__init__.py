"""One file per claim; each prints ratios of peers measured side by side in one run, never a bare time.

Effects: none
"""

"""KVM hosts (and libvirt's test driver) through libvirt.

Effects: none
"""

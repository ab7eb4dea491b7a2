"""Helpers of the test suite: private hypervisors, guests to fill them with, and a view of them from outside.

Kept apart from the tests, so that any test may use them and none needs to know how a host is built.

Effects: none
"""

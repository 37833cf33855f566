"""Recorded or simulated history served in the vendors' own wire formats, faults included.

Nothing here is used by a live deployment, and nothing here knows the platform's store or its clients.
"""

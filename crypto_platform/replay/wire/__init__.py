"""What the vendors' bytes look like: one module a vendor, pure functions from frames to JSON objects.

A module knows its vendor's parameters, limits, shapes and words for errors; it knows no server, clock or history.
Points that no public document or capture confirms are marked [unconfirmed].
"""

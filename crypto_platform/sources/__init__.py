"""One module a vendor: a client class that transports, and pure `parse_*` functions that read its bytes.

No store, no settings, no environment, no clock here: base URLs, keys and instants are arguments.
"""

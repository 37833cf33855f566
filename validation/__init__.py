"""Simulations of what the platform's decisions do, with intervals: `python -m validation PART …`.

Not measured in seconds, as `benchmarks` are, but in errors: how often an alarm is false, and how soon a true one comes.
"""

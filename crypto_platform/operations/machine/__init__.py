"""The time machine: the platform operated over past months by the operations the graph runs, then looked back on.

What a tick does is in `ticks`, when it comes in `run`; `arms`, `evidence` and `report` look back on what was decided.
"""

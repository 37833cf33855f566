"""What the asset graph, the command line and the time machine all do: functions of (store, as_of, symbols).

Each runs to the same rows however often, late or concurrently it is run. No dagster, no clock, no environment here.
"""

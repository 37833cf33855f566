"""The science and the decisions: functions of plain values.

No dagster, SQL, HTTP, files, environment, clock or logging here; time is an argument.
"""

"""Dagster and nothing else: assets that call one operation each, checks, jobs, schedules, the sensor, resources."""

"""Measurements of the platform beside baselines, as ratios; `python -m benchmarks` prints them.

A number here is worth something beside another number of the same run only: machines differ, ratios less so.
"""

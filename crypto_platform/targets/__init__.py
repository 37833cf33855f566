"""Whom alerts are sent to: Slack, e-mail, a signed webhook. One module a target.

What is told, when, and how often it is tried: `core.alerts` and `operations.alerts`. A target sends one message, once.
"""

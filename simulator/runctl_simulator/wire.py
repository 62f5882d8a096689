"""What `cloud.Cloud` and its server agree on."""

CONTROL = "/runctl-simulator/"
"""Verbs stand below it, POST with a JSON object of arguments; AWS's APIs are all at `/`."""

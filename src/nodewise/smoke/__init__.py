"""Suites of scripts, run after a deploy and between the nodes of an upgrade: read, planned, judged and told."""

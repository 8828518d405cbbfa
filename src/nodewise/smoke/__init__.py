"""Suites of scripts: read, planned, judged and told."""

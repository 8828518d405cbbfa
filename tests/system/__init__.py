"""Whole testnets, and clusters on them, on this machine."""

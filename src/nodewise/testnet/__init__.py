"""Testnets: systemd nodes as containers, on a private network, reachable over SSH with pinned keys."""

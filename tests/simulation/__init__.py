"""Bad days: real clusters under load, and faults while they are upgraded."""

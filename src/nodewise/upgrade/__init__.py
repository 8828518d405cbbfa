"""An upgrade: planned, approved, rolled one turn at a time, judged, and taken back. It knows no system by name."""

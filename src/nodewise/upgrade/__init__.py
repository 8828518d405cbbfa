"""An upgrade: planned, approved, rolled one batch at a time, judged, and taken back. It knows no system by name."""

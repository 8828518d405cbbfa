"""Gates: questions about observations that must be exactly true."""

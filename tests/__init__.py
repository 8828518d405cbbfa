"""The six layers of tests."""

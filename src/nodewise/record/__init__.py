"""The record of a run: a folder with everything needed to judge it again."""

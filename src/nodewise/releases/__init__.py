"""A version becomes a release: rules, URLs and checksums, whichever way its files are to be had."""

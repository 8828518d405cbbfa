"""Rehearsals: clients at work on a testnet while it is upgraded, and what a judge says of it all."""

"""Seeded client operations, and clients that execute them."""

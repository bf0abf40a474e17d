"""Dagster carries what the core has decided: wiring, and no decisions of its own."""

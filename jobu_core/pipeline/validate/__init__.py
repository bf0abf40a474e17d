"""Rows against a pydantic model: the valid ones rewritten, the others explained."""

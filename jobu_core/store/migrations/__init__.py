"""Alembic's environment and revisions; run by ``jobu_core.store.migrate``."""

"""Tests: dagster."""

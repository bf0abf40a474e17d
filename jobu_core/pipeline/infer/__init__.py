"""A file never seen before → a model, a dataset entry and a table, for a person to correct."""

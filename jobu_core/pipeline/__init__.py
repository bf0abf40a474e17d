"""The data path: files in, validated records out, rows into a target database."""

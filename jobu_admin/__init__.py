"""What operators use: the command line (and, in a later version, API and pages)."""

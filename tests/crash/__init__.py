"""The crash matrix: real processes killed between two writes, then the ledger audited."""

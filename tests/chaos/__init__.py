"""Chaos: the whole system under random ``kill -9``, then its ledger audited (``make chaos``)."""

"""Measures of the data path against what a data engineer would use instead.

``jobu bench SUITE`` runs them from a checkout; the wheel does not ship them. Every
measure runs jobu's own code and its peers in turns on the same seeded data.
"""

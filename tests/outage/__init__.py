"""Outages: servers restarted, connections cut at any message, and what holds afterwards."""

"""The whole engine on a virtual clock: every step may pause, die or lose its connection."""

"""The tests of jobu."""

"""Where files of users lie: on this machine or in S3; ``place.py`` says what both can do."""

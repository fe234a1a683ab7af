"""The command ``swath``: the same jobs from a terminal."""

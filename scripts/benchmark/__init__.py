"""Measures Swath, end to end, against what the machine can do at best."""

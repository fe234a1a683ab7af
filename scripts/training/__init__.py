"""Trains Swath's own models; ``scripts/train`` holds the commands, README.md the facts."""

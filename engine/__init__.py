"""Swath's engine; importing it brings nothing heavy along."""

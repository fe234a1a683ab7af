"""Swath in the Processing toolbox; the only callers of the engine's client."""

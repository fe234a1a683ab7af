"""Models fitted to what was found on plots: statistics of arrays. Pure: no file is read."""

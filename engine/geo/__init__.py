"""Where pixels are: grids, windows, tiles, blocks. Pure values and arithmetic."""

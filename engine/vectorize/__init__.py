"""From classes to polygons: traced block by block, stitched at the seams."""

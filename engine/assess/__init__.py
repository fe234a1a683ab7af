"""What a map is worth: areas, accuracy, totals."""

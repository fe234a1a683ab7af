"""Work on finished maps and field data: accuracy, samples, totals, calibration."""

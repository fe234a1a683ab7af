"""Change between two dates without training: statistics that tell change from noise. Pure."""

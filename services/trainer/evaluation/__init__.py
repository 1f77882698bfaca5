"""What a version is worth, how sure that is, and whether it may be released: metrics, slices, calibration, gates."""

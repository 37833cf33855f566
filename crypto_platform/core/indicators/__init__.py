"""Technical indicators along the time axis (axis 1) of gap-free arrays, shape (n_segments, n_hours).

Full windows only: a value before its first full window is NaN. Row t uses columns up to t. Right padding with NaN is
allowed and stays NaN. Inputs are never mutated.
"""

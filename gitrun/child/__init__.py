"""Code that may run inside the user's own process: stdlib only, Python 3.8+, never raises into user code."""

"""What weft costs, beside others, on this machine. `python -m benchmarks [NAME…]`."""

"""What happens next: pure; no clock, no input or output, no chance."""

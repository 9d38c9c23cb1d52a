"""What commands and runs look like: text, JSON, quiet."""

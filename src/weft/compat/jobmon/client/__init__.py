"""Building and running workflows, and looking at those that are recorded."""

"""What knows a resource's capacity and present use."""

"""The real scheduler on a virtual clock: what a run would take on machines that need not be there."""

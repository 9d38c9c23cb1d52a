"""A plan's graph for other eyes: dot, mermaid, SVG, JSON and text. Pure functions of a plan and the tasks' states."""

"""Python values that tasks hand on: how they are written, and read back from text, files and item logs.

Workers of other interpreters import this package: standard library only, syntax of Python 3.8, imports relative.
"""

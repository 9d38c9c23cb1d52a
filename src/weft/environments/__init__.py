"""Interpreter, folder and variables of an attempt."""

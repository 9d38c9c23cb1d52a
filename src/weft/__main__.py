"""`python -m weft` is the command `weft`."""

from weft.cli.main import console

if __name__ == "__main__":
    console()

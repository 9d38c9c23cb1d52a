"""`python -m weft` is the command `weft`."""

if __name__ == "__main__":
    import gc

    gc.disable()  # until the command is there: loading it makes many objects, and hardly ever a cycle of them

    from weft.cli.main import console

    console()

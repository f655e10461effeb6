"""`python -m palaver` is the same as `palaver`."""

from palaver.cli.main import run

if __name__ == "__main__":
    run()

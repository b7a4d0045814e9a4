"""`python -m processor` is the same command as `processor`."""

from processor.entrypoints.cli import main

if __name__ == "__main__":
    main()

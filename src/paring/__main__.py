"""`python -m paring` is the command `paring`."""

from paring.cli import main

if __name__ == "__main__":
    main()

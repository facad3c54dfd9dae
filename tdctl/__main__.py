"""``python -m tdctl``."""

from tdctl.cli import main

if __name__ == "__main__":
    main()

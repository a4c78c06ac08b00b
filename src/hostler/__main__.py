"""Lets `python -m hostler` be the `hostler` command."""

from hostler.cli.main import main

if __name__ == "__main__":
    main()

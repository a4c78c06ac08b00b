"""Prints the most frequent words of a file."""

import argparse
from pathlib import Path

from wordcount.ranking import most_frequent
from wordcount.words import words


def main() -> None:
    """Read the arguments and print one word a line."""
    parser = argparse.ArgumentParser(prog="wordcount", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many words to print")
    arguments = parser.parse_args()
    for word, count in most_frequent(words(arguments.file.read_text(encoding="utf-8")), arguments.top):
        print(f"{count:6} {word}")


if __name__ == "__main__":
    main()

"""How words are ranked."""

import unittest

from wordcount.ranking import most_frequent


class RankingTest(unittest.TestCase):
    def test_nothing_gives_nothing(self) -> None:
        self.assertEqual(most_frequent([], 3), [])

    def test_the_most_frequent_words_come_first(self) -> None:
        found = ["tea", "milk", "tea", "sugar", "milk", "tea"]
        self.assertEqual(most_frequent(found, 2), [("tea", 3), ("milk", 2)])

"""How a text is split into words."""

import unittest

from wordcount.words import words


class WordsTest(unittest.TestCase):
    def test_case_does_not_matter(self) -> None:
        self.assertEqual(list(words("Tea, tea TEA")), ["tea", "tea", "tea"])

    def test_an_apostrophe_belongs_to_its_word(self) -> None:
        self.assertEqual(list(words("It's 'quoted'")), ["it's", "quoted"])

    def test_an_empty_text_has_no_words(self) -> None:
        self.assertEqual(list(words("")), [])

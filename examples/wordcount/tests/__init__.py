"""Tests of wordcount."""

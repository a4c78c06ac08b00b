"""The pages in a real Chromium: what a person does, and what the page may not do meanwhile."""

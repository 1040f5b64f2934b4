"""Data sets: what they are (images, toy), and where their files come from (source)."""

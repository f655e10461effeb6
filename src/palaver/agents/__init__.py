"""Minds: history in, pieces of an answer out."""

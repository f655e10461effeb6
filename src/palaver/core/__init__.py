"""Decides: what is allowed, what happens, who answers.

The only caller of the store's writing side; knows no HTTP and no JSON shapes.
"""

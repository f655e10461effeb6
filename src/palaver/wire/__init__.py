"""Bytes to calls and back; decides nothing."""

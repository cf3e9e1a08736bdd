"""KDPL."""

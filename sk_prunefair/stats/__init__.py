"""Intervals and tests for promises and reports."""

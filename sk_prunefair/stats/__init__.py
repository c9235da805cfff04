"""Intervals and tests that promises and reports stand on."""

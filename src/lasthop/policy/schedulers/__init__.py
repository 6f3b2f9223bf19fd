"""Schedulers, and the tables they fill: one file each, listed here."""

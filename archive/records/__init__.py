"""Facts: every table. Importing any of them brings all, because tables refer to each other by name."""

from archive.records import cases, custody, items, jobs, people, stations, uploads

__all__ = ["cases", "custody", "items", "jobs", "people", "stations", "uploads"]

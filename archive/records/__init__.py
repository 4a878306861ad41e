"""Facts: every table. Importing any of them brings all, because tables refer to each other by name."""

from archive.records import cases, custody, items, jobs, papers, people, releases, rules, stations, uploads

__all__ = ["cases", "custody", "items", "jobs", "papers", "people", "releases", "rules", "stations", "uploads"]

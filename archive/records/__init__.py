"""Facts: every table. Importing any of them brings all, because tables refer to each other by name."""

from archive.records import cases, custody, hosts, items, jobs, papers, people, releases, rules, stations, stores, uploads

__all__ = ["cases", "custody", "hosts", "items", "jobs", "papers", "people", "releases", "rules", "stations", "stores", "uploads"]

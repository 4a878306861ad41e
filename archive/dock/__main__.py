"""`python -m archive.dock`: the dock alone, for a station that has nothing of the server installed (httpx, cryptography, rich, click)."""

from archive.dock.command import main

if __name__ == "__main__":
    main()

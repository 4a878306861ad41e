"""What builds, runs and proves Liuhen around the program itself."""

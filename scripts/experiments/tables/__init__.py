"""The tables of README.md and of the pages of replication/, printed from the stored results."""

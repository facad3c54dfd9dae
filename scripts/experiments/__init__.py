"""The experiments behind the pages of replication/, one file or folder for each page."""

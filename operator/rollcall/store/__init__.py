"""What outlives the process: a small database on a volume, written once a second, and a copy of it on each other replica."""

"""Watching: what the ledger of a service says of its films, its model and its readers."""

"""Arriving: films from the network or a folder, kept safe before they are acknowledged."""

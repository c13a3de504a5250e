"""Delivering: results to their destinations, until the destination has them."""

"""Exporting: the network for another engine, with its distance from fp32."""

"""Screening: films in from a hospital's systems, durable results out; nothing lost, none twice."""

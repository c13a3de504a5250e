"""Settings: one TOML file to checked values."""

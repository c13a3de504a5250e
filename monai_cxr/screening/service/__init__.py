"""Service: the parts of the settings put together, run and watched."""

"""Settings: one TOML file to checked values."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "checks")

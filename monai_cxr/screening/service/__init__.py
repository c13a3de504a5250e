"""Service: the parts of the settings put together, run and watched."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "service")

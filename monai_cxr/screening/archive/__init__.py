"""Archive: every film of a folder or a PACS, one result each, one report."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "archive")

"""Planted faults: a decoder that crashes, hangs or eats memory over films that ask for it.

With this folder in PYTHONPATH, Python imports this module when it starts. It wraps
monai_cxr's decoder: a film whose SeriesDescription is ``PLANTED SEGV``, ``PLANTED KILL``,
``PLANTED HANG`` or ``PLANTED MEMORY`` does that to the process which decodes it.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.machinery
import os
import signal
import sys
import time

DECODING = "monai_cxr.dicom.pixels.decoding"


def _segv():
    ctypes.string_at(0)


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def _hang():
    while True:
        time.sleep(3600)


def _memory():
    import numpy

    blocks = []
    while True:
        blocks.append(numpy.ones(1 << 24))  # 128 MiB, each page of it touched


FAULTS = {"SEGV": _segv, "KILL": _kill, "HANG": _hang, "MEMORY": _memory}


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the decoder when its module is imported."""

    def find_spec(self, fullname, path, target=None):
        if fullname != DECODING:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            decode = module.decode

            def planted(parsed, facts, **options):
                words = facts.description.split()
                if "PLANTED" in words:
                    FAULTS[words[words.index("PLANTED") + 1]]()
                return decode(parsed, facts, **options)

            module.decode = planted

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Finder())

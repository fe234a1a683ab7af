"""The part of Swath that runs in QGIS: pure Python on ``qgis.PyQt`` and ``requests``."""

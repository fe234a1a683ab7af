"""What the plugin and the engine say to each other.

Standard library only, Python 3.9 and newer: QGIS' own Python imports it as it is. Messages are
compared by value across the wire, never by class, since the package may be loaded under two names.
"""

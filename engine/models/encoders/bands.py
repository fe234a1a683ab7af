"""The bands that the encoders know, and how they form groups."""

S2_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
S1_BANDS = ("VV", "VH")
S2_GROUPS = {
    "S2_RGB": (0, 1, 2),
    "S2_Red_Edge": (3, 4, 5),
    "S2_NIR_10m": (6,),
    "S2_NIR_20m": (7,),
    "S2_SWIR": (8, 9),
}
"""Which of ``S2_BANDS`` form a group; the names are those of the published weights."""
S2_CHANNELS = {name: len(bands) for name, bands in S2_GROUPS.items()}
RED, NIR = S2_BANDS.index("B04"), S2_BANDS.index("B08")

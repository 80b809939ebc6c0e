# Fuzz targets: one per decoder.

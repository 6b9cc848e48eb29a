"""Train and fine-tune networks; what comes out is a plain MONAI bundle.

Each script trains one shipped model from phantoms and writes what it measured into the bundle's metadata.
"""

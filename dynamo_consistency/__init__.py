"""The Python front end of dynamo-consistency.

    from dynamo_consistency import config, datatypes, remotelister, inventorylister

    config.LOCATION = '/path/to/config.json'
    site = 'T2_US_MIT'                        # For example

    inventory_listing = inventorylister.listing(site)
    remote_listing = remotelister.listing(site)

    datatypes.compare(inventory_listing, remote_listing, 'results')

The inventory goes first: what is written to the site while it is listed is then too young to be called an orphan.
"""

from __future__ import annotations


def __getattr__(name: str) -> str:
    # Reading the metadata takes longer than everything else here.
    if name == "__version__":
        from importlib.metadata import version

        return version("dynamo-consistency")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

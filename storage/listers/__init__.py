"""Listers: what asks a store, one module for each protocol, all behind `storage.listers.protocol`."""

"""Dumps that other programs write, each format in a module of its own that turns them into `Rows`.

Those that are lines are a `lines.LineForm`, recognised from the first lines (`recognise`); the others, XML, JSON,
Parquet and Avro, are a `streams.Stream`, recognised from the first bytes (`open_stream`).
"""

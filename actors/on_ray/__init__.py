"""The runtime on Ray: clusters, nodes and addresses, and what Ray shows of a run."""

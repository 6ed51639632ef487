"""Everything outside the program: listers, inventories, snapshots, databases, configuration and reports."""

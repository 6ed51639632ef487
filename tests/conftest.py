from hypothesis import settings

from tests.servers.fixtures import (
    mariadb_server,
    postgres_server,
    start_xrootd,
    xrootd_cluster,
    xrootd_directory,
    xrootd_pair,
    xrootd_server,
)

__all__ = [
    "mariadb_server",
    "postgres_server",
    "start_xrootd",
    "xrootd_cluster",
    "xrootd_directory",
    "xrootd_pair",
    "xrootd_server",
]

# Tests measure no time: a machine that is busy makes nothing wrong.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

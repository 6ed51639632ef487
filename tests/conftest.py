from tests.servers.fixtures import mariadb_server, postgres_server, start_xrootd, xrootd_directory, xrootd_server

__all__ = ["mariadb_server", "postgres_server", "start_xrootd", "xrootd_directory", "xrootd_server"]

from tests.servers.fixtures import start_xrootd, xrootd_directory, xrootd_server

__all__ = ["start_xrootd", "xrootd_directory", "xrootd_server"]

"""The summary page: static files in the web directory, made from the two databases; any web server can hold them.

`storage.page.build.build_page` writes them, `storage.page.install.install_page` puts a page there that has no sites
yet, and `storage.page.server` serves the directory. ``docs/page.md`` says what the page shows.
"""

from pathlib import Path

from storage.page.install import install_page
from storage.page.render import ASSETS, HERE
from tests.storage.page.planting import Planted


def test_an_empty_page_is_put_there(tmp_path: Path) -> None:
    install_page(tmp_path / "www")
    assert "No sites yet" in (tmp_path / "www" / "index.html").read_text()
    assert {path.name for path in (tmp_path / "www" / "assets").iterdir()} == set(ASSETS)


def test_a_table_with_sites_stays(planted: Planted) -> None:
    planted.result("T2_A")
    planted.build()
    before = planted.page()
    install_page(planted.web)
    assert planted.page() == before


def test_a_page_of_another_program_is_replaced(planted: Planted) -> None:
    planted.file("index.html", "<html>the page of an earlier version</html>")
    install_page(planted.web)
    assert "No sites yet" in planted.page()


def test_assets_that_were_changed_are_put_right(tmp_path: Path) -> None:
    install_page(tmp_path)
    (tmp_path / "assets" / "page.css").write_text("half a fi")
    install_page(tmp_path)
    assert (tmp_path / "assets" / "page.css").read_bytes() == (HERE / "page.css").read_bytes()


def test_a_link_in_the_place_of_a_page_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "precious.txt"
    target.write_text("precious")
    web = tmp_path / "www"
    web.mkdir()
    (web / "index.html").symlink_to(target)
    install_page(web)
    assert target.read_text() == "precious"
    assert not (web / "index.html").is_symlink()

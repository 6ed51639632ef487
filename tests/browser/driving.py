"""What a reader does with the page, in a few words."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

PATIENCE = 20.0
"""Seconds after which what should happen in the page is taken not to."""


class Browser:
    """A browser with one page open."""

    def __init__(self, driver: Any, base: str, web: Path) -> None:
        self.driver = driver
        self.base = base
        self.web = web

    def reset(self) -> None:
        """Forget what earlier tests set."""
        self.command("Emulation.setScriptExecutionDisabled", value=False)
        self.command("Emulation.setEmulatedMedia", features=[])
        self.resize(1400, 900)
        self.driver.get(self.base + "columns.html")
        self.js("localStorage.clear()")
        self.complaints()

    def command(self, name: str, **values: object) -> Any:
        """Give the browser a command of its own protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def open(self, page: str = "index.html", base: str | None = None) -> None:
        """Open a page anew, whatever was open."""
        self.driver.get("about:blank")
        self.driver.get((base or self.base) + page)

    def js(self, code: str, *arguments: object) -> Any:
        """Run a script in the page, as a developer would in the console."""
        return self.driver.execute_script(code, *arguments)

    def find(self, selector: str) -> WebElement:
        """Give the first element for a selector."""
        element: WebElement = self.driver.find_element(By.CSS_SELECTOR, selector)
        return element

    def all(self, selector: str) -> list[WebElement]:
        """Give all elements for a selector."""
        elements: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return elements

    def click(self, selector: str) -> None:
        """Click on the first element for a selector."""
        self.find(selector).click()

    def type(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self) -> WebElement:
        """Give the element that has the focus."""
        element: WebElement = self.driver.switch_to.active_element
        return element

    def point_at(self, element: WebElement, x: int) -> None:
        """Move the pointer onto an element, ``x`` pixels from its middle."""
        ActionChains(self.driver).move_to_element_with_offset(element, x, 0).perform()

    def hash(self) -> str:
        """Give what the page keeps in its address."""
        value: str = self.js("return location.hash")
        return value

    def sites(self) -> list[str]:
        """Give the sites that are shown, in order."""
        names: list[str] = self.js(
            "return [...document.querySelectorAll('#sites tbody tr')].filter(r => r.offsetParent !== null)"
            ".map(r => r.dataset.site)"
        )
        return names

    def column(self, key: str) -> list[str]:
        """Give the numbers that a column shows, in order."""
        texts: list[str] = self.js(
            "const heads = [...document.querySelectorAll('#sites thead th')];"
            "const i = heads.findIndex(h => h.dataset.key === arguments[0]);"
            "return [...document.querySelectorAll('#sites tbody tr')].filter(r => r.offsetParent !== null)"
            ".map(r => r.cells[i].firstChild.textContent)",
            key,
        )
        return texts

    def complaints(self) -> list[str]:
        """Take what the console has collected: errors of scripts, what could not be loaded, what the policy refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def eventually(self, what: str, happened: Callable[[], object], patience: float = PATIENCE) -> None:
        """Wait until something is so, for up to so many seconds."""
        end = time.monotonic() + patience
        while True:
            try:
                if happened():
                    return
            except StaleElementReferenceException:
                pass
            assert time.monotonic() < end, f"never: {what}"
            time.sleep(0.02)

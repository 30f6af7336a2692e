"""Headless Chromium for tests of the report, and what is asked of every page in it."""

import io
import os
import pathlib
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

_CHECKS = (pathlib.Path(__file__).parent / "page_checks.js").read_text()


class Page:
    """One report in the browser."""

    def __init__(self, driver):
        """`driver` is selenium's."""
        self.driver = driver

    def open(self, address: str, width: int, height: int) -> None:
        """Loads a page anew, in a window of this size; a narrow one is a phone's."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get("about:blank")  # a new address after # alone would keep the page as it is
        self.driver.get(address)

    def resize(self, width: int, height: int = 900) -> None:
        """Gives the window another size, and the page the time to draw itself anew."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.settle()

    def settle(self) -> None:
        """Waits until what was begun is drawn."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )

    def find(self, selector: str):
        """The first element of a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements of a selector that can be seen."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((e) => e.checkVisibility()).map((e) => e.innerText.trim())",
            selector,
        )

    def choose(self, name: str, value: str) -> None:
        """Gives a field of the filters a value, as its reader does."""
        self.driver.execute_script(
            "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change'))",
            name,
            value,
        )

    def theme(self, name: str) -> None:
        """Takes the light or the dark theme."""
        if self.driver.execute_script("return document.documentElement.dataset.theme") != name:
            self.find("#theme").click()

    def too_wide(self) -> list[str]:
        """What is wider than the card that it is in."""
        return self.driver.execute_script(f"{_CHECKS} return tooWide()")

    def pale(self) -> list[str]:
        """The texts that can hardly be read."""
        return self.driver.execute_script(f"{_CHECKS} return pale()")

    def small(self) -> list[str]:
        """What a finger can hardly hit."""
        return self.driver.execute_script(f"{_CHECKS} return small()")

    def height(self) -> int:
        """Of the page, in pixels."""
        return self.driver.execute_script("return document.documentElement.scrollHeight")

    def complaints(self) -> list:
        """What the page has written to the console since this was asked last."""
        return self.driver.get_log("browser")

    def pixels(self, name: str) -> np.ndarray:
        """A picture of what is in view: uint8 [height, width, 3]; kept for who asks for it."""
        picture = self.driver.get_screenshot_as_png()
        if "REPORT_SCREENSHOTS" in os.environ:
            folder = pathlib.Path(os.environ["REPORT_SCREENSHOTS"])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.png").write_bytes(picture)
        return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def chromium() -> Iterator[Page]:
    """A browser without a window, for a test module; where there is none, its tests are skipped."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium with chromedriver is installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="the extra: test")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # As root, as in a container, Chromium has no sandbox of its own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Page(driver)
    driver.quit()

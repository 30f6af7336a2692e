"""The report as a reader uses it: in headless Chromium, at a desk and on a phone, by keyboard.

With REPORT_SCREENSHOTS=FOLDER in the environment the pictures that are tested are kept there, for a
developer to look at.
"""

import io
import os
import pathlib
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.making.run_folders import make_run
from trainers.report.page import write
from trainers.run_folder.records import find_records

selenium = pytest.importorskip("selenium", reason="selenium is not installed (the extra: test)")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver is installed"
    ),
    pytest.mark.slow(reason="a browser is driven"),
]

DESK, PHONE = (1200, 900), (390, 844)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # As root, as in a container, Chromium has no sandbox of its own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    """A report about runs of every state; its address."""
    runs = tmp_path_factory.mktemp("runs")
    alexnet = make_run(
        runs, "alexnet/1", net="alexnet", top1s=(0.1, 0.25, 0.42), learning_rate=0.02
    )
    make_run(runs, "demo/1", top1s=(0.3, 0.6, 0.8), note="Does a wider stem help?")
    make_run(runs, "demo/2", top1s=(0.4, 0.85, 0.9), weight_decay=1e-4, schedule="cosine()")
    make_run(runs, "demo/10", top1s=(0.2, 0.3), finished=False, train_epochs=3.0)
    (runs / "demo" / "11").mkdir()
    Image.new("RGB", (900, 500), (40, 120, 200)).save(alexnet.directory / "contact_sheet.png")
    alexnet.write_json(
        "evaluation_center_crop_validation.json",
        {
            "protocol": "center_crop",
            "split": "validation",
            "images": 20,
            "top1": 0.42,
            "top5": 0.71,
            "per_class": {f"n{label:08d}": 0.2 * label for label in range(5)},
            "most_confused": [["n00000000", "n00000003", 7]],
        },
    )
    file = runs / "report.html"
    write(file, find_records(runs))
    return file.as_uri()


@pytest.fixture
def page(browser, report, request) -> Iterator[webdriver.Chrome]:
    """The report, just opened, at the size that the test names; it must log nothing."""
    width, height = getattr(request, "param", DESK)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get("about:blank")  # a new address after # alone would keep the page as it is
    browser.get(report)
    yield browser
    assert browser.get_log("browser") == []


def names(page) -> list[str]:
    return [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#runs tbody th")]


def sort_button(page, column: str):
    return page.find_element(By.XPATH, f"//section[@id='runs']//thead//button[.='{column}']")


def drawn(page) -> list[str]:
    groups = page.find_elements(By.CSS_SELECTOR, "#chart g[data-run]")
    return [group.get_attribute("data-run") for group in groups]


def pixels(page, name: str) -> np.ndarray:
    """A picture of what is in view: uint8 [height, width, 3]; kept if the developer asks for it."""
    picture = page.get_screenshot_as_png()
    if "REPORT_SCREENSHOTS" in os.environ:
        folder = pathlib.Path(os.environ["REPORT_SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(picture)
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def test_it_shows_every_run_and_its_state(page):
    assert names(page) == ["alexnet/1", "demo/1", "demo/2", "demo/10", "demo/11"]
    states = page.find_elements(By.CSS_SELECTOR, "#runs .state")
    assert [state.text for state in states] == [
        *["finished"] * 3,
        "interrupted",
        "broken",
    ]
    assert "is empty" in page.find_element(By.CSS_SELECTOR, "#runs .fault").text


def test_a_click_sorts_and_the_next_one_turns_the_order_round(page):
    button = sort_button(page, "top-1")
    button.click()
    best_first = ["demo/2", "demo/1", "alexnet/1", "demo/10", "demo/11"]
    assert names(page) == best_first
    header = page.find_element(By.CSS_SELECTOR, "th[aria-sort]")
    assert (header.text, header.get_attribute("aria-sort")) == ("top-1", "descending")
    button.click()
    assert names(page) == [*reversed(best_first[:4]), "demo/11"], "what has no value stays last"
    sort_button(page, "run").click()
    assert names(page) == ["alexnet/1", "demo/1", "demo/2", "demo/10", "demo/11"], "10 after 2"
    assert len(page.find_elements(By.CSS_SELECTOR, "th[aria-sort]")) == 1


def test_curves_can_be_switched_off_and_on(page):
    everything = ["alexnet/1", "demo/1", "demo/2", "demo/10"]
    assert drawn(page) == everything
    legend = page.find_elements(By.CSS_SELECTOR, "#legend button")
    assert [button.text for button in legend] == everything
    legend[2].click()
    assert drawn(page) == ["alexnet/1", "demo/1", "demo/10"]
    assert legend[2].get_attribute("aria-pressed") == "false"
    legend[2].click()
    assert drawn(page) == everything
    for button in legend:
        button.click()
    assert drawn(page) == []


def test_curves_are_where_the_numbers_are(page):
    """The published accuracy and each validated epoch have their place on one scale."""

    def heights(run):
        circles = page.find_elements(By.CSS_SELECTOR, f"#chart g[data-run='{run}'] circle")
        return [float(circle.get_attribute("cy")) for circle in circles]

    line = page.find_element(By.CSS_SELECTOR, "#chart line.published")
    assert page.find_element(By.CSS_SELECTOR, "#chart text.published").text == "alexnet"
    # Two points of one run give the scale, and the others must be on it.
    first, second, third = heights("demo/1")
    scale = (second - first) / (0.6 - 0.3)
    assert third == pytest.approx(first + (0.8 - 0.3) * scale, abs=0.1)
    assert heights("alexnet/1")[2] == pytest.approx(first + (0.42 - 0.3) * scale, abs=0.1)
    assert float(line.get_attribute("y1")) == pytest.approx(first + (0.593 - 0.3) * scale, abs=0.1)


@pytest.mark.parametrize(("metric", "axis"), [("loss", "loss (nats)"), ("rate", "learning rate")])
def test_other_metrics_have_their_own_axis(page, metric, axis):
    page.find_element(By.CSS_SELECTOR, f"input[value={metric}] + span").click()
    assert page.find_element(By.CSS_SELECTOR, "#chart text").text == axis
    assert not page.find_elements(By.CSS_SELECTOR, "#chart .published")
    assert len(page.find_elements(By.CSS_SELECTOR, "#chart path")) >= 4


def test_the_keyboard_reaches_everything(page):
    body = page.find_element(By.TAG_NAME, "body")
    reached = []
    for _ in range(60):
        body.send_keys(Keys.TAB)
        active = page.switch_to.active_element
        reached.append(active.get_attribute("id") or active.text or active.tag_name)
        if active.tag_name == "summary":
            break
    assert reached[0] == "To the table of runs"
    assert "theme" in reached and "top-1" in reached and "demo/2" in reached
    assert reached.index("theme") < reached.index("top-1")
    active.send_keys(Keys.ENTER)
    assert page.find_element(By.ID, "run-alexnet_2f_1").get_attribute("open")
    sort_button(page, "top-1").send_keys(Keys.ENTER)
    assert names(page)[0] == "demo/2"
    page.find_elements(By.CSS_SELECTOR, "#legend button")[0].send_keys(Keys.SPACE)
    assert "alexnet/1" not in drawn(page)


def test_the_arrow_keys_read_the_curves(page):
    reading = page.find_element(By.ID, "reading")
    assert reading.text == ""
    chart = page.find_element(By.CSS_SELECTOR, "#chart svg")
    chart.send_keys(Keys.ARROW_RIGHT)
    assert reading.text.split("\n")[0] == "epoch 1:"
    chart.send_keys(Keys.ARROW_RIGHT)
    assert reading.text.split("\n") == [
        "epoch 2:",
        "alexnet/1 25.0 %",
        "demo/1 60.0 %",
        "demo/2 85.0 %",
        "demo/10 30.0 %",
    ]
    for _ in range(5):
        chart.send_keys(Keys.ARROW_RIGHT)
    assert "demo/10" not in reading.text, "it has no third epoch"


def test_a_link_opens_the_details_of_its_run(page):
    details = page.find_element(By.ID, "run-alexnet_2f_1")
    assert not details.get_attribute("open")
    page.find_element(By.LINK_TEXT, "alexnet/1").click()
    assert details.get_attribute("open")
    assert "crops: center crop here, 10 crops there" in details.text
    assert "word 3" in details.text
    image = details.find_element(By.TAG_NAME, "img")
    assert page.execute_script("return arguments[0].decode().then(() => true)", image)
    assert image.get_property("naturalWidth") == 900


@pytest.mark.parametrize("page", [DESK, PHONE], ids=["desk", "phone"], indirect=True)
def test_nothing_is_wider_than_the_screen(page):
    page.execute_script("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    width = page.execute_script("return document.documentElement.clientWidth")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    small = page.execute_script(
        "return [...document.querySelectorAll('button, summary')]"
        ".filter((e) => e.getBoundingClientRect().height < 24).map((e) => e.textContent)"
    )
    assert small == [], "too small for a finger"


@pytest.mark.parametrize("page", [DESK, PHONE], ids=["desk", "phone"], indirect=True)
def test_the_pictures_are_light_or_dark_and_legible(page, request):
    place = "phone" if "phone" in request.node.name else "desk"
    means = {}
    for theme in ("light", "dark"):
        if page.execute_script("return document.documentElement.dataset.theme") != theme:
            page.find_element(By.ID, "theme").click()
        picture = pixels(page, f"{place}_{theme}").astype(float)
        means[theme] = picture.mean()
        levels = picture.mean(axis=2)
        low, high = np.percentile(levels, [0.5, 99.5])
        assert high - low > 120, "text stands out"
        page.execute_script("document.getElementById('curves').scrollIntoView()")
        colors = pixels(page, f"{place}_{theme}_curves").astype(int)
        # Coloured curves are there: pixels whose channels differ much.
        assert (np.ptp(colors, axis=2) > 60).sum() > 300
        page.execute_script("window.scrollTo(0, 0)")
    assert means["light"] > 200
    assert means["dark"] < 70

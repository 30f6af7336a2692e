"""The report as a reader uses it: in headless Chromium, by mouse, keyboard and fingers.

With REPORT_SCREENSHOTS=FOLDER in the environment the pictures that are tested are kept there, for a
developer to look at.
"""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.making import browser, reports
from tests.making.browser import Page
from tests.making.run_folders import make_run
from trainers.report.page import write
from trainers.run_folder.records import find_records

pytest.importorskip("selenium", reason="selenium is not installed (the extra: test)")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.slow(reason="a browser is driven")

WIDTHS = (320, 390, 768, 1200, 1440, 1920)
EVERYTHING = ["alexnet/1", "demo/1", "demo/2", "demo/10"]
chromium = pytest.fixture(browser.chromium, scope="module")


@pytest.fixture(scope="module")
def addresses(tmp_path_factory) -> dict[int, str]:
    """Of the reports about one run, about five, one of them broken, and about a hundred."""
    return reports.write_reports(tmp_path_factory.mktemp("reports"))


@pytest.fixture
def page(chromium, addresses) -> Iterator[Page]:
    """The report about five runs, just opened; it must log nothing."""
    chromium.open(addresses[5], 1200, 900)
    yield chromium
    assert chromium.complaints() == []


def names(page) -> list[str]:
    return page.texts("#table tbody .run-name")


def sort_by(page, column: str) -> None:
    heads = page.driver.find_elements("css selector", "#table thead button")
    next(head for head in heads if head.text == column).click()


def drawn(page) -> list[str]:
    return page.texts("#legend li:has(:checked) .name")


def read_by_key(page, *keys: str) -> list[str]:
    """What the first chart says after these keys, line by line."""
    page.find("#charts .frame").send_keys(*keys)
    return page.driver.execute_script(
        "return document.getElementById('reading').textContent"
    ).split("\n")


def coloured(page) -> int:
    """How many pixels of the first chart have a colour."""
    box = page.find("#charts .u-over").rect
    picture = page.pixels("chart").astype(int)
    top = box["y"] - page.driver.execute_script("return scrollY")
    part = picture[int(top) : int(top + box["height"]), int(box["x"]) :][:, : int(box["width"])]
    return int((np.ptp(part, axis=2) > 60).sum())


@pytest.mark.parametrize("count", [1, 5, 100])
def test_at_every_width_and_in_both_themes_it_fits_and_is_legible(chromium, addresses, count):
    chromium.open(addresses[count], WIDTHS[0], 700)
    run = chromium.driver.execute_script(
        "return (document.querySelector('article:has(.mistakes)') ??"
        "document.querySelector('article')).id"
    )
    for width in WIDTHS:
        chromium.driver.execute_script("location.hash = 'runs'")
        chromium.resize(width)
        assert chromium.height() < (4500 if width < 1000 else 3000)
        chromium.driver.execute_script(f"location.hash = '{run}'")
        assert chromium.too_wide() == [], width
        assert chromium.small() == []
        for theme in ("light", "dark") if width in (WIDTHS[0], WIDTHS[-1]) else ("dark",):
            chromium.theme(theme)
            chromium.driver.execute_script("scrollTo(0, 0)")
            mean = chromium.pixels(f"{count}_{width}_{theme}").mean()
            assert mean > 200 if theme == "light" else mean < 70
            assert chromium.pale() == []
    assert chromium.complaints() == []


def test_it_shows_every_run_and_its_state_the_best_first_of_all(page):
    assert names(page) == [*EVERYTHING, "demo/11"]
    assert page.texts("#table .state") == [*["finished"] * 3, "interrupted", "broken"]
    assert "is empty" in page.texts("#table .fault")[0]
    best, *_, wrong = page.texts(".tiles li")
    assert best.split("\n") == ["Best", "90.0 %", "demo/2 top-1"]
    assert wrong.startswith("Failed or broken\n1 run\ndemo/11")


def test_a_click_sorts_and_the_next_one_turns_the_order_round(page):
    sort_by(page, "top-1")
    best_first = ["demo/2", "demo/1", "alexnet/1", "demo/10", "demo/11"]
    assert names(page) == best_first
    assert page.find("th[aria-sort=descending]").text == "top-1"
    sort_by(page, "top-1")
    assert names(page) == [*reversed(best_first[:4]), "demo/11"], "what has no value stays last"
    sort_by(page, "run")
    assert names(page) == [*EVERYTHING, "demo/11"], "10 after 2"
    assert len(page.texts("th[aria-sort]")) == 1


def test_what_is_filtered_and_grouped_is_so_in_curves_table_and_flags(page):
    page.find("#search").send_keys("learning_rate=0.02")
    assert names(page) == page.texts("#legend .name") == ["alexnet/1"]
    assert page.texts("#matches") == ["1 of 5 runs"]
    assert page.texts("#flags-table p") == ["No two of these runs have different flags."]
    page.find("#clear").click()
    page.choose("experiment", "demo")
    page.choose("state", "finished")
    assert names(page) == ["demo/1", "demo/2"]
    assert page.texts("#flags-table tbody th") == ["schedule", "weight_decay"]
    page.find("#clear").click()
    page.choose("group", "experiment")
    assert page.texts("#table tr.group small")[1] == "4 runs, best top-1 90.0 %"
    page.driver.find_elements("css selector", "tr.group button")[1].click()
    assert names(page) == ["alexnet/1"]
    page.find("#legend li.group input").click()
    assert drawn(page) == ["demo"], "all of alexnet are switched off; demo's are folded"


def test_curves_can_be_switched_off_and_on(page):
    assert sorted(drawn(page)) == sorted(EVERYTHING)
    everything = coloured(page)
    assert everything > 1000
    page.find("#legend input").click()
    assert "demo/2" not in drawn(page)
    assert coloured(page) < everything
    page.find("#draw-none").click()
    assert drawn(page) == []
    assert "No run that is drawn" in page.texts("#charts")[0]
    page.find("#draw-all").click()
    assert coloured(page) == pytest.approx(everything, rel=0.01)
    page.find("#table button.draw").click()
    assert "alexnet/1" not in drawn(page)


def test_the_arrow_keys_read_the_curves_over_epochs_steps_and_time(page):
    assert read_by_key(page, Keys.ARROW_RIGHT)[0] == "epoch 1:"
    second = ["demo/2 85.0 %", "demo/1 60.0 %", "demo/10 30.0 %", "alexnet/1 25.0 %"]
    assert read_by_key(page, Keys.ARROW_RIGHT) == ["epoch 2:", *second]
    assert not any("demo/10" in line for line in read_by_key(page, Keys.END)), "it has no third"
    page.find("#axis input[value=step]").click()
    assert read_by_key(page, Keys.HOME, Keys.ARROW_RIGHT) == ["step 20:", *second]
    page.find("#axis input[value=time]").click()
    # Half an epoch is 5 steps of 128 images, at 50, 100, 150, ... images/s.
    assert read_by_key(page, Keys.HOME)[0] == "19.2 seconds:"
    page.find("#axis input[value=epoch]").click()
    page.choose("smoothing", "0.5")
    # 0.5 * 0.4 and 0.5 * (0.5 * 0.4 + 0.85), freed of the zero at the start.
    assert "demo/2 70.0 % (85.0 %)" in read_by_key(page, Keys.HOME, Keys.ARROW_RIGHT)


def test_the_pointer_reads_values_in_the_colours_of_their_curves(page):
    over = page.find("#charts .u-over")
    third = over.size["width"] // 3
    ActionChains(page.driver).move_to_element_with_offset(
        over, third * 2 - over.size["width"] // 2, 0
    ).perform()
    page.settle()
    rows = page.texts("figure .box tbody tr")
    assert page.texts("figure .box thead th")[0] == "epoch 2"
    assert rows[0].split() == ["demo/2", "85.0", "%", "42.5", "%"]
    colours = page.driver.execute_script(
        "return ['.box', '#legend'].map((place) => getComputedStyle(document.querySelector("
        "`${place} .swatch`)).backgroundColor)"
    )
    assert colours[0] == colours[1]


def test_keys_a_drag_and_two_fingers_zoom(page):
    def first_and_last() -> list[str]:
        return [read_by_key(page, key)[0] for key in (Keys.HOME, Keys.END)]

    read_by_key(page, Keys.HOME, Keys.ARROW_RIGHT, "++")
    assert first_and_last() == ["epoch 2:", "epoch 2:"]
    read_by_key(page, "0")
    over = page.find("#charts .u-over")
    width, height = over.size["width"], over.size["height"]
    chain = ActionChains(page.driver).move_to_element_with_offset(over, -width // 2 + 2, 0)
    chain.click_and_hold().move_by_offset(width // 2, 3).release().perform()
    assert first_and_last() == ["epoch 1:", "epoch 1:"]
    page.find("#zoom-reset").click()
    assert first_and_last() == ["epoch 1:", "epoch 3:"]
    page.find("#curves").location_once_scrolled_into_view  # noqa: B018
    box = page.driver.execute_script(
        "return document.querySelector('#charts .u-over').getBoundingClientRect().toJSON()"
    )

    def touch(kind: str, *across: float) -> None:
        points = [
            {"x": box["x"] + share * width, "y": box["y"] + height / 2, "id": at}
            for at, share in enumerate(across)
        ]
        parameters = {"type": kind, "touchPoints": points}
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", parameters)

    touch("touchStart", 0.65)
    page.settle()
    assert page.texts("figure .box thead th")[0] == "epoch 2"
    touch("touchEnd")
    touch("touchStart", 0.6, 0.7)
    touch("touchMove", 0.3, 0.95)
    touch("touchEnd")
    assert first_and_last() == ["epoch 2:", "epoch 2:"]


def test_the_keyboard_alone_does_everything(page):
    body = page.find("body")
    reached = []
    for _ in range(60):
        body.send_keys(Keys.TAB)
        active = page.driver.switch_to.active_element
        reached.append(active.get_attribute("id") or active.get_attribute("class") or active.text)
        if reached[-1] == "transpose":
            break
    assert reached[-1] == "transpose", reached
    assert reached.index("frame") < 25, "few stops before the first chart"
    order = ["theme", "search", "frame", "draw-all", "transpose"]
    assert [reached.index(each) for each in order] == sorted(map(reached.index, order))
    link = page.find("#table tbody a")
    link.send_keys(" ")
    assert "alexnet/1" not in drawn(page)
    link.send_keys(Keys.ARROW_DOWN)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.texts("article .run-title")[0].startswith("demo/1")
    summary = page.find("#columns summary")
    summary.send_keys(Keys.ENTER)
    page.find("#columns input").send_keys(" ")
    assert "top-1" not in page.texts("#table thead th")
    page.find("#columns input").send_keys(Keys.ESCAPE)
    assert page.driver.switch_to.active_element == summary
    assert page.texts("#flags-table thead th")[0] == "flag"
    page.find("#transpose").send_keys(Keys.ENTER)
    assert page.texts("#flags-table thead th")[0] == "run"


def test_a_link_opens_a_run_and_its_command_is_copied(page):
    assert page.texts("article") == []
    page.driver.find_element("link text", "alexnet/1").click()
    (details,) = page.texts("article")
    assert "crops: center crop here, 10 crops there" in details and "word 3" in details
    image = page.find("#run-alexnet_2f_1 img")
    assert page.driver.execute_script("return arguments[0].decode().then(() => true)", image)
    assert image.get_property("naturalWidth") == 900
    page.find("#run-alexnet_2f_1 button.copy").click()
    page.settle()
    assert page.texts("#run-alexnet_2f_1 button.copy") == ["Copied"]
    page.find("#search").send_keys(Keys.CONTROL, "v")
    said = page.find("#search").get_property("value")
    assert said.startswith("python trainers/train.py --flagfile=") and said.endswith("--noresume")
    page.find("#clear").click()
    page.find("#next").click()
    assert page.texts("article .run-title")[0].startswith("demo/1")
    link = page.find("#run-demo_2f_1 .files a[href$='metrics.jsonl']").get_property("href")
    assert link.startswith("file:///") and link.endswith("/demo/1/metrics.jsonl")


def test_a_cell_of_the_confusion_matrix_opens_its_images(page):
    page.driver.find_element("link text", "demo/2").click()
    assert page.texts("article .matrix tbody th")[:3] == ["tench", "goldfish", "shark"]
    assert page.texts("article .pairs button span") == ["goldfish → <b>ray</b>", "shark → tench"]
    assert page.texts(".mistakes h5")[0].startswith("The worst")
    assert len(page.texts(".gallery li > div")) == 4
    page.find(".matrix button[aria-label='goldfish taken for <b>ray</b>: 3']").click()
    assert page.texts(".mistakes h5") == ["goldfish taken for <b>ray</b>: 3 images"]
    assert page.texts(".gallery .wrong") == ["<b>ray</b> 80 %"] * 3
    picture = page.find("article .gallery img")
    assert page.driver.execute_script("return arguments[0].decode().then(() => true)", picture)
    # By keyboard: up to the ray column's next count, which is none, so to goldfish's own.
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_LEFT, Keys.ENTER)
    assert page.texts(".mistakes h5") == ["goldfish: 1 image right"]
    assert page.texts(".gallery li") == ["taken for <b>ray</b> 3"]
    page.driver.find_elements("css selector", "article .pairs button")[2].click()
    assert page.texts(".mistakes h5") == ["shark taken for tench: 1 image"]


def test_a_page_that_is_watched_loads_itself_and_goes_on_as_it_was(page, tmp_path):
    make_run(tmp_path, "demo/1", top1s=(0.3, 0.6, 0.8))
    report = tmp_path / "report.html"
    write(report, find_records(tmp_path), reload=1)
    page.open(report.as_uri(), 1200, 900)
    page.find("#axis input[value=step]").click()
    page.find("#search").click()
    page.driver.execute_script("scrollTo(0, 321)")
    make_run(tmp_path, "demo/2")
    write(report, find_records(tmp_path), reload=1)
    until = time.monotonic() + 60
    while len(names(page)) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert names(page) == ["demo/1", "demo/2"]
    assert page.find("#axis input[value=step]").is_selected()
    page.settle()
    assert page.driver.execute_script("return [scrollY, document.activeElement.id]") == [
        321,
        "search",
    ]

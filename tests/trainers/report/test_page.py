"""The report holds everything in one file, says what the folders say, and escapes it."""

import html.parser
import json
import re
import shlex
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from base.errors import UserError
from tests.making.run_folders import make_run, metrics_line
from trainers.report import curves, page, pictures, reproducing
from trainers.run_folder.records import find_records, read_record

HOSTILE = """<script>alert('x')</script>"><img src=x onerror=alert(1)>&amp;"""


class Elements(html.parser.HTMLParser):
    """Every start tag of a page: (name, attributes)."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def page_of(runs_dir):
    """The report's text, and the folder that its links are seen from."""
    return page.page(find_records(runs_dir), runs_dir)


def data(text, name="data"):
    """One of the page's two JSON objects."""
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', text)[1])


def evaluation(classes=5):
    return {
        "protocol": "center_crop",
        "split": "validation",
        "images": 20,
        "top1": 0.55,
        "top5": 0.8,
        "top1_interval": [0.5, 0.6],
        "per_class": {f"n{label:08d}": label / classes for label in range(classes)},
        "most_confused": [["n00000001", "n00000003", 7], ["n00000002", "n00000000", 4]],
    }


def test_the_page_needs_nothing_but_itself(tmp_path):
    run = make_run(tmp_path)
    Image.new("RGB", (300, 200), (200, 30, 30)).save(run.directory / "contact_sheet.png")
    text = page_of(tmp_path)
    for tag, attributes in Elements(text).found:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            allowed = ("#", "data:", "./demo/1") if tag == "a" else ("#", "data:")
            assert value is None or value.startswith(allowed), (tag, value)
        assert tag not in ("iframe", "object", "embed", "base")
    assert not re.search(r"url\((?!#)|@import", text)
    addresses = set(re.findall(r"https?://\S+", text))
    assert addresses == {"https://github.com/leeoniya/uPlot"}, "whose drawing code is in it"
    assert "Copyright (c) 2022 Leon Sorokin" in text
    assert data(text, "pictures")


def test_text_from_runs_is_escaped(tmp_path):
    run = make_run(
        tmp_path, "demo/1", note=HOSTILE, optimizer="sgd()", data={"words": [HOSTILE] * 5}
    )
    broken = tmp_path / "<b>bold" / "1"
    broken.mkdir(parents=True)
    (broken / f"<i>{'x' * 20}").touch()
    run.write_json("evaluation_center_crop_validation.json", evaluation())
    run.write_json("environment.json", {"python": HOSTILE, "packages": {HOSTILE: HOSTILE}})
    make_run(tmp_path, "demo/2", schedule="</script><script>alert(2)</script>")
    text = page_of(tmp_path)
    scripts = [attributes for tag, attributes in Elements(text).found if tag == "script"]
    kept = [{"type": "application/json", "id": name} for name in ("data", "mistakes", "pictures")]
    assert scripts == [{}, *kept, {}, {}]
    assert not any(tag in ("b", "i") for tag, _ in Elements(text).found)
    assert not any("onerror" in attributes for _, attributes in Elements(text).found)
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in text


def test_it_says_ours_the_papers_and_what_differs(tmp_path):
    make_run(tmp_path, "alexnet/1", net="alexnet", top1s=(0.3, 0.4))
    text = page_of(tmp_path)
    row = re.search(r"<tbody>\n(<tr .*?</tr>)", text)[1]
    assert "40.0 %" in row and "59.3 %" in row
    assert "crops, epochs, data, size, rate, decay, augmentation" in row
    assert "crops: center crop here, 10 crops there" in text
    assert "epochs: 2 here, 90 by flags/alexnet.cfg there" in text


def test_it_shows_classes_and_confusions_by_their_words(tmp_path):
    run = make_run(tmp_path, data={"words": ["tench", "goldfish", "shark", "ray", "cock"]})
    run.write_json("evaluation_center_crop_validation.json", evaluation())
    text = page_of(tmp_path)
    assert "goldfish n00000001 &rarr; ray n00000003" in text
    assert "50.0 to 60.0" in text
    bars = re.findall(r"--share:([\d.]+)%\"><span>(\w+)", text)
    names = ("tench", "goldfish", "shark", "ray", "cock")
    assert bars == [(f"{20 * place:.1f}", name) for place, name in enumerate(names)]


def test_of_many_classes_the_worst_and_the_best_are_shown(tmp_path):
    run = make_run(tmp_path)
    run.write_json("evaluation_center_crop_validation.json", evaluation(classes=40))
    shares = re.findall(r"--share:([\d.]+)%", page_of(tmp_path))
    assert [float(share) for share in shares] == [
        *(2.5 * label for label in range(8)),
        *(2.5 * label for label in range(36, 40)),
    ]


def test_only_flags_that_differ_are_columns(tmp_path):
    for number, rate in ((1, 0.1), (2, 0.1), (3, 0.5)):
        make_run(tmp_path, f"demo/{number}", learning_rate=rate)
    text = page_of(tmp_path)
    assert data(text)["flags"] == {"learning_rate": ["0.1", "0.1", "0.5"]}
    assert re.findall(r'class="flag" data-value="([\d.]+)"', text) == ["0.1", "0.1", "0.5"]


def test_dates_durations_parameters_and_notes_are_columns(tmp_path):
    run = make_run(tmp_path, note="a <wider> stem")
    stretch = {"host": "tower", "first_step": 0, "last_step": 10, "outcome": "finished"}
    times = [("2026-03-01T10:00:00+01:00", 3000.0), ("2026-03-02T10:00:00+01:00", 1500.0)]
    stretches = [stretch | {"began": began, "ended": began, "seconds": s} for began, s in times]
    run.write_json("history.json", {"stretches": stretches})
    row = re.search(r"<tbody>\n(<tr .*?</tr>)", page_of(tmp_path))[1]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    assert {"2026-03-01 10:00", "1 h 15 min", "tower", "1,000"} <= set(cells)
    assert any("a &lt;wider&gt; stem" in cell for cell in cells)


def test_a_run_says_how_it_is_made_again_and_where_its_files_are(tmp_path):
    run = make_run(tmp_path, "demo/1")
    stopped = make_run(tmp_path, "a b/1", finished=False)
    imported = make_run(tmp_path, "imported/1")
    imported.write_json("result.json", {"step": 0, "imported": {"file": "weights.npz"}})
    records = {record.name: record for record in find_records(tmp_path)}
    trained = reproducing.commands(records["demo/1"])
    assert [*trained.values()] == [
        f"python trainers/train.py --flagfile={run.directory}/flags.cfg --noresume"
    ]
    assert "commit abc" in next(iter(trained))
    again, on = reproducing.commands(records["a b/1"]).values()
    assert shlex.split(again)[2] == f"--flagfile={stopped.directory}/flags.cfg"
    assert shlex.split(on)[1:] == ["trainers/runs.py", "resume", str(stopped.directory)]
    (command,) = reproducing.commands(records["imported/1"]).values()
    assert "import_weights.py" in command and "--from=weights.npz" in command
    assert 'href="./a%20b/1/flags.cfg"' in page_of(tmp_path)


def test_pictures_are_embedded_once_and_as_long_as_there_is_room(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    album = pictures.Pictures(pictures.MOST_BYTES - 4000)
    first, again = (album.embed(Image.fromarray(noise), "<noise>", 50) for _ in range(2))
    assert first == again and "&lt;noise&gt;" in first
    assert album.embed(Image.fromarray(noise[::-1]), "other", 50) is None
    assert len(json.loads(album.json())) == 1


def test_a_hundred_runs_are_written_soon_and_can_be_mailed(tmp_path):
    run = make_run(tmp_path, "demo/1")
    lines = []
    for epoch in range(1, 91):
        for part in range(1, 21):
            lines.append(metrics_line("train", epoch - 1 + part / 20, 0.7123, learning_rate=0.1))
        lines.append(metrics_line("validation", epoch, epoch / 123))
    (run.directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    for number in range(2, 101):
        other = tmp_path / "demo" / str(number)
        shutil.copytree(run.directory, other)
        if number % 9 == 0:
            Image.fromarray(np.roll(noise, number)).save(other / "contact_sheet.png")
    began = time.process_time()
    page.write(tmp_path / "report.html", find_records(tmp_path))
    assert time.process_time() - began < 10
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_no_runs_and_broken_runs_make_a_page_too(tmp_path):
    assert "no run yet" in page.page([], tmp_path)
    run = make_run(tmp_path)
    for path in run.directory.iterdir():
        if path.is_file():
            path.write_bytes(b"\xff{")
    (run.directory / "contact_sheet.png").write_bytes(b"no picture")
    text = page_of(tmp_path)
    assert "broken" in text and "flags.cfg is not text" in text
    assert "contact_sheet.png" in text


def test_curves_have_the_points_of_the_log_and_no_value_that_json_lacks(tmp_path):
    run = make_run(tmp_path, top1s=(0.2, 0.6))
    with (run.directory / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(metrics_line("validation", 3, 0.7) | {"loss": float("nan")}) + "\n")
    (curve,) = curves.runs_json([read_record(run.directory)])
    assert curve["validation"]["epoch"] == [1, 2, 3]
    assert curve["validation"]["step"] == [10, 20, 30]
    assert curve["validation"]["top1"] == [0.2, 0.6, 0.7]
    assert curve["validation"]["loss"][-1] is None
    assert "rate" not in curve["validation"]
    assert curve["train"]["epoch"] == [0.5, 1, 1.5, 2]
    assert curve["train"]["rate"] == [0.1, 0.1, 0.05, 0.05]
    # Each time 5 steps of 128 images, at 50, 100, 150 and 200 images/s; then on at the median.
    times = [12.8, 19.2, 19.2 + 640 / 150, 19.2 + 640 / 150 + 3.2]
    assert curve["train"]["time"] == pytest.approx(times, rel=1e-4)
    assert curve["validation"]["time"] == pytest.approx(
        [times[1], times[3], times[3] + 1280 / 125], rel=1e-4
    )


def test_a_long_log_is_thinned_to_the_means_of_neighbours(tmp_path):
    run = make_run(tmp_path)
    lines = [metrics_line("train", at / 100, at / 5000) for at in range(1, 5001)]
    (run.directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (curve,) = curves.runs_json([read_record(run.directory)])
    count = len(curve["train"]["epoch"])
    assert curves.MAX_POINTS / 2 < count <= curves.MAX_POINTS
    assert curve["train"]["top1"][0] == pytest.approx(sum(range(1, 14)) / 13 / 5000, rel=1e-4)


def test_a_place_where_nothing_can_be_written_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output"):
        page.write(tmp_path / "file" / "report.html", [])

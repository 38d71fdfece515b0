"""The page in a real browser: what hands do, what is stored, and what stays apart."""

import json
import socket
from urllib.parse import parse_qs, urlsplit

import pytest

from skyloom.active import LabelStore
from tests.explorer.conftest import HOSTILE, eventually

pytestmark = pytest.mark.cluster

FRAME = (640, 320)


def text(page, name):
    return page.locator(f"#skyloom-{name}").inner_text()


def query(page):
    return page.evaluate("location.search").removeprefix("?")


def parameters(page):
    return {name: values[-1] for name, values in parse_qs(query(page)).items()}


def frame_of(page, number):
    """Left, top, of the frame of a figure: its plotting area, found by the canvas that draws it."""
    place = page.locator(".bk-Figure").nth(number).bounding_box()
    left = page.evaluate(
        """(number) => {
            const doc = Bokeh.documents[0];
            const names = ["sky-map", "scatter"];
            const model = doc.get_model_by_name(names[number]);
            const view = Bokeh.index.find_one(model);
            const box = view.frame.bbox;
            return [box.left, box.top, box.width, box.height];
        }""",
        number,
    )
    return place["x"] + left[0], place["y"] + left[1], left[2], left[3]


def click_on_sky(page, ra, dec):
    x, y, width, height = frame_of(page, 0)
    page.mouse.click(x + width * (360 - ra) / 360, y + height * (90 - dec) / 180)


def test_map_to_object_to_label_to_ranking_and_the_label_is_kept_with_who_and_when(opened, sky):
    page = opened()
    assert text(page, "selected") == "all 240 objects"
    row = next(r for r in sky.table.select(["object_id", "ra", "dec"]).to_pylist() if lonely(r, sky.table))
    click_on_sky(page, row["ra"], row["dec"])
    assert eventually(lambda: page.locator("#skyloom-object").all_inner_texts(), len) == [str(row["object_id"])]
    assert parameters(page)["id"] == str(row["object_id"])

    page.get_by_text("labels", exact=True).click()
    page.locator("#skyloom-ranking").wait_for()
    assert "240 objects with labels of 0 objects" in text(page, "ranking")
    page.keyboard.press("a")
    eventually(lambda: text(page, "ranking"), lambda said: "labels of 1 object by 1 person" in said)
    (kept,) = LabelStore.open(sky.root).labels()
    assert (kept.object_id, kept.label, kept.by) == (row["object_id"], "anomaly", "ann")
    assert kept.utc.startswith("20")
    assert (kept.column, kept.score is not None) == ("rerank-anomaly", True)

    following = eventually(lambda: text(page, "object"), lambda id_: id_ != str(row["object_id"]))
    page.keyboard.press("1")
    eventually(lambda: text(page, "ranking"), lambda said: "labels of 2 objects" in said)
    assert LabelStore.open(sky.root).decisions()[int(following)] == "snia"
    page.keyboard.press("u")
    eventually(lambda: text(page, "ranking"), lambda said: "labels of 1 object by" in said)
    eventually(lambda: text(page, "object"), lambda id_: id_ == following)
    records = [json.loads(path.read_text()) for path in sorted((sky.root / "labels").glob("*.json"))]
    assert [(record["kind"], record["by"]) for record in records] == [
        ("label", "ann"),
        ("label", "ann"),
        ("undo", "ann"),
    ]
    assert "snia undone" in text(page, "labels")
    assert page.errors == []
    assert {urlsplit(url).hostname for url in page.asked if url.startswith("http")} == {"127.0.0.1"}


def lonely(row, table):
    """Whether an object has no other within 10 degrees: a click means it and no other."""
    others = [
        (ra, dec)
        for ra, dec in zip(table["ra"].to_pylist(), table["dec"].to_pylist(), strict=True)
        if abs(ra - row["ra"]) < 10 and abs(dec - row["dec"]) < 10
    ]
    return len(others) == 1 and abs(row["dec"]) < 80 and 20 < row["ra"] < 340


def test_a_zoom_and_a_selection_are_in_the_address_and_the_address_is_the_page(opened, sky):
    page = opened("?x=hostgal_photoz&y=mwebv")
    x, y, width, height = frame_of(page, 0)
    page.mouse.move(x + width / 2, y + height / 2)
    page.mouse.wheel(0, -300)
    eventually(lambda: parameters(page), lambda asked: "view" in asked)
    x, y, width, height = frame_of(page, 1)
    page.mouse.move(x + 0.3 * width, y + 0.2 * height)
    page.mouse.down()
    page.mouse.move(x + 0.8 * width, y + 0.7 * height, steps=4)
    page.mouse.up()
    said = eventually(lambda: text(page, "selected"), lambda said: "selected" in said)
    assert {"view", "x", "xs", "y", "ys"} <= set(parameters(page))

    other = opened(f"?{query(page)}&tab=sql")
    assert text(other, "selected") == said
    assert text(other, "map") == text(page, "map")
    sql = text(other, "sql")
    from skyloom.jobs import open_catalog

    found = open_catalog(sky.catalog).with_layers("features", store=sky.layers).query(sql)
    assert f"{found.num_rows:,} of 240 objects selected" == said
    other.locator("input[type=text]:visible").first.fill("drawn")
    other.get_by_role("button", name="save").click()
    other.get_by_text("saved").first.wait_for()
    eventually(
        lambda: sorted(p.name for p in (sky.root / "selections").glob("*")), lambda names: names == ["drawn.sql"]
    )
    other.get_by_role("button", name="clear selection").click()
    eventually(lambda: text(other, "selected"), lambda said: said == "all 240 objects")
    assert "xs" not in parameters(other)


def test_two_browsers_do_not_see_each_others_state(opened, points):
    one, two = opened(f"?id={points.ids[0]}"), opened()
    eventually(lambda: one.locator("#skyloom-object").count(), bool)
    assert two.locator("#skyloom-object").count() == 0
    x, y, width, height = frame_of(two, 0)
    two.mouse.move(x + width / 2, y + height / 2)
    two.mouse.wheel(0, -300)
    eventually(lambda: parameters(two), lambda asked: "view" in asked)
    eventually(lambda: text(two, "map"), lambda said: not said.startswith("240 of"))
    assert parameters(one) == {"id": str(points.ids[0])}
    assert text(one, "map") == "240 of 240 objects in view"


def test_text_of_columns_is_shown_letter_for_letter(opened, points, sky):
    names = sky.table["name"].to_pylist()
    page = opened(f"?id={points.ids[names.index(HOSTILE)]}&sort=-name")
    page.get_by_text(HOSTILE).first.wait_for(timeout=30_000)
    eventually(lambda: page.get_by_text(HOSTILE).count(), lambda count: count >= 3)
    page.wait_for_timeout(300)
    assert page.title() == "skyloom: sky"
    assert page.locator("img[src=x]").count() == 0
    assert page.errors == []


@pytest.mark.parametrize(
    "query", ["?x=%3Cscript%3Ealert(1)%3C/script%3E", "?view=1,2", "?catalog=../..", "?sky=0,nan,0,1"]
)
def test_a_wrong_address_is_a_clear_message(query, opened):
    page = opened(query, wait="#skyloom-error")
    said = text(page, "error")
    assert any(word in said for word in ("there is:", "four finite numbers"))
    assert "Traceback" not in page.content()
    assert page.errors == []


def test_an_object_that_is_not_there_is_said_so(opened):
    page = opened("?id=12")
    page.locator("#skyloom-object-error").wait_for(timeout=30_000)
    assert "no object has the id '12'" in text(page, "object-error")


def test_the_server_listens_at_home_and_refuses_pages_of_others(address):
    port = urlsplit(address).port
    host = socket.gethostbyname(socket.gethostname())
    if not host.startswith("127."):
        with pytest.raises(OSError):
            socket.create_connection((host, port), timeout=2)

    def knock(origin):
        lines = [
            "GET /ws HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            f"Origin: {origin}", "", "",
        ]  # fmt: skip
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            line.sendall("\r\n".join(lines).encode())
            return line.recv(1000).decode().partition("\r\n")[0]

    for origin in ("http://evil.example", "null", f"http://127.0.0.1.evil.example:{port}"):
        assert knock(origin).startswith("HTTP/1.1 403"), origin

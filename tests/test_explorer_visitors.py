"""Visitors of the live page: several at once, those with a phone, and those who mean harm."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from explored import served
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sent import encoded
from visiting import changed, finger, move, seen, sides, upload, visited

pytestmark = pytest.mark.browser


def test_two_people_at_once(browser: Browser, address: str) -> None:
    with visited(browser, address) as mine, visited(browser, address) as theirs:
        first = seen(mine)
        assert first == seen(theirs)
        move(mine, 0, 3)
        move(theirs, 0, -3)
        assert changed(mine, first) != changed(theirs, first)


def begin(page: Page) -> None:
    """A search."""
    page.get_by_role("tab", name="Search").click()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".progress-text").first).to_be_visible()


def test_two_searches_at_once(browser: Browser, address: str, place: Path) -> None:
    """One waits for the other; who cancels ends that of nobody else."""
    with visited(browser, address) as mine, visited(browser, address) as theirs:
        (place / "slowly").touch()
        for page, to in ((mine, 2.5), (theirs, -2.5)):
            before = seen(page)
            move(page, 1, to)
            changed(page, before)
            begin(page)
        theirs.get_by_role("button", name="Cancel").click()
        expect(theirs.locator("#fg-found")).to_contain_text("The search was cancelled.")
        begin(theirs)
        (place / "slowly").unlink()
        found = [page.locator("#fg-found img[alt^='by the search']") for page in (mine, theirs)]
        for one in found:
            expect(one).to_be_visible()
        assert found[0].get_attribute("src") != found[1].get_attribute("src")


@pytest.mark.usefixtures("address")  # which makes the run
def test_the_page_ends_during_a_search(browser: Browser, place: Path) -> None:
    slowly = place / "slow"
    slowly.touch()
    with served(place / "run", slowly) as address, visited(browser, address) as page:
        begin(page)


def test_dark_and_on_a_phone(browser: Browser, address: str) -> None:
    narrow = {"width": 390, "height": 800}
    with visited(browser, address, color_scheme="dark", viewport=narrow) as page:
        colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, colours.removeprefix("rgb(").rstrip(")").split(","))) < 3 * 64
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_upload_and_drawing_on_a_phone(browser: Browser, address: str) -> None:
    """By a finger."""
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    with visited(browser, address, **phone) as page:
        first, note = seen(page), page.locator("#fg-note")
        upload(page, "mine.png", encoded(Image.effect_noise((20, 20), 90)))
        expect(note).to_contain_text("Your picture")
        uploaded = changed(page, first)
        page.get_by_role("tab", name="Draw one").tap()
        page.get_by_role("button", name="Brush").tap()
        finger(page, 0.3)
        expect(note).to_contain_text("Your drawing.")
        changed(page, uploaded)
        left, right = sides(page)
        assert left > 10
        assert right == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def status(address: str, body: bytes | None = None, **headers: str) -> int:
    """Of the answer, which lets a browser load nothing from elsewhere."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        asked = urllib.request.Request(address, body, more)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_what_is_not_served(address: str) -> None:
    """Files outside of what visitors keep, and names that lead here from elsewhere."""
    assert status(address) == 200
    assert status(address, host="evil.example") == 400
    assert status(f"{address}/gradio_api/file=/etc/passwd") == 403
    assert status(f"{address}/gradio_api/file={Path(__file__)}") == 403
    assert status(f"{address}/docs") == 404


def test_what_is_not_taken(address: str) -> None:
    """Forms that the page does not send, and more than there is room for."""
    form = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nwords\r\n'
        b"--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    assert status(f"{address}/gradio_api/upload", form, content_type=kind) == 200
    assert status(f"{address}/gradio_api/process_recording", form, content_type=kind) == 413
    assert status(f"{address}/login", bytes(2**21), content_type=kind) == 413


def test_a_forged_upload(address: str, tmp_path: Path) -> None:
    """The name of a file that is none is refused, and the file is not read."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(encoded(Image.new("L", (8, 8))))
    with urllib.request.urlopen(f"{address}/config", timeout=60) as answer:
        events = json.load(answer)["dependencies"]
    (event,) = (one["id"] for one in events if any("upload" in kind for kind in one["targets"]))
    for name in (str(picture), "../../../etc/passwd", "http://127.0.0.1/picture.png"):
        file = {"path": name, "meta": {"_type": "gradio.FileData"}}
        wanted = {"data": [file], "fn_index": event, "session_hash": "somebody"}
        body = json.dumps(wanted).encode()
        assert (
            status(f"{address}/gradio_api/queue/join", body, content_type="application/json") == 200
        )
        told = f"{address}/gradio_api/queue/data?session_hash=somebody"
        with urllib.request.urlopen(told, timeout=60) as answer:
            said = answer.read().decode()
        assert "That is no upload." in said
        assert "Your picture" not in said

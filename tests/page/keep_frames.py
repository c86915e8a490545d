"""What the camera's page keeps: unknown frames in groups, images of classes, the history. And the states of a camera.

    keep_frames.py RUNTIME ARCHIVE PICTURES [FOLDER FOR SCREENSHOTS]

Where the environment variable AXE is the path of axe-core's axe.min.js, axe-core checks every state that is shown. Needs
chromium and chromedriver, and nothing else.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from click_through import TOKEN, Browser, show, state
from teach_classes import VIEWS, Camera, Page, Program, folders, scenes

AXE = os.environ.get("AXE")


class Checked(Page):
    """A page whose states axe-core looks at, too."""

    def shoot(self, name: str) -> None:
        super().shoot(name)
        if not AXE:
            return
        for scheme in ("light", "dark"):
            show(self.browser, *VIEWS["phone"], scheme)
            self.browser.run(Path(AXE).read_text())
            self.browser.run("axe.run().then(found => { window.found = found.violations; })")
            self.browser.until("window.found !== undefined", "axe-core's answer")
            faults = self.browser.run(
                "const f = window.found.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 160))]); delete window.found; return f"
            )
            assert not faults, f"{name}, {scheme}: {faults}"
        show(self.browser, *VIEWS["desktop"], "light")

    def rows(self) -> list[list[str]]:
        return self.browser.run(
            "return [...document.querySelectorAll('#times tr')].map(r => [...r.children].map(c => c.textContent))"
        )


def open_page(page: Page, address: str) -> None:
    page.browser.ask("/url", {"url": f"http://{address}/?token={TOKEN}"})
    page.browser.until("document.getElementById('label')?.textContent.length > 1", "a label")


def unknown(page: Checked, camera: Camera, images: dict[str, list]) -> None:
    """Frames of no class become a group, and a name makes a class of it."""
    page.write("#class", "my cat")
    time.sleep(1)
    page.press("mouse", 4)
    page.label("my cat")
    camera.shown = images["pattern"]
    page.label("unknown")
    time.sleep(6)
    page.browser.until("!document.getElementById('strange').hidden", "groups of unknown frames")
    page.browser.until("document.querySelector('#groups li:first-child img')", "their images")
    page.shoot("groups")
    page.browser.run("document.querySelector('#groups button').click()")
    page.says("name first", "refused")
    page.write("#groups li:first-child input", "carpet")
    page.click("#groups li:first-child form button")
    page.says("carpet: ")
    page.lists("my cat", "carpet")
    page.label("carpet")


def mixed(page: Checked, camera: Camera, images: dict[str, list], pictures: Path) -> None:
    """The network's own classes are answered when they are wanted."""
    page.click("#mix")
    page.says("images of them are needed", "refused")
    page.browser.until("!document.getElementById('mix').checked", "the switch as it was")
    page.click("#own")
    assert page.browser.run("return document.getElementById('class').disabled")
    kinds = ("automobile", "frog", "horse", "ship", "truck")
    files = "\n".join(str(file) for kind in kinds for file in sorted(pictures.glob(f"{kind}_*.png")))
    page.browser.ask(f"/element/{page.find('#files')}/value", {"text": files})
    page.says("own classes: 10 images")
    page.click("#own")
    page.click("#mix")
    page.says("answered, too")
    camera.shown = images["ship"]
    page.label("ship")
    page.write("#rate_asked", "10")
    page.click("#rate_save")
    page.says("10 % now")
    page.shoot("mixed")
    page.write("#rate_asked", "70")
    page.click("#rate_save")
    page.says("0 to 50", "refused")
    # The network knows cats, too, so the taught one is looked at alone from here on.
    page.click("#mix")
    page.says("Only taught classes")


def history(page: Checked, camera: Camera, images: dict[str, list]) -> None:
    """It is there after a reload, searched and exported."""
    open_page(page, page.browser.run("return location.host"))
    page.browser.until("document.querySelectorAll('#times tr').length >= 5", "the history after a reload")
    page.write("#find", "MY C")
    page.browser.until(
        "(r => r.length > 0 && r.every(t => t.children[1].textContent === 'my cat'))([...document.querySelectorAll('#times tr')])",
        "rows of the cat only",
    )
    page.shoot("history")
    table = page.browser.run("return fetch(document.getElementById('csv').href).then(a => a.text())")
    assert table.startswith("time,end,label,score") and "my cat" in table and "carpet" not in table, table
    entries = page.browser.run("return fetch(document.getElementById('json').href).then(a => a.json())")
    assert entries and all(entry["label"] == "my cat" for entry in entries), entries
    page.write("#find", "nothing like that")
    page.browser.until("document.getElementById('found').textContent === 'No label fits.'", "that nothing fits")


def rules(page: Checked, camera: Camera, images: dict[str, list]) -> None:
    """Rules are added and removed, and the page shows which of them hold."""
    for text in ("my cat > 0.1 for 3 frames", "nobody > 0.5", "carpet for 3 frames"):
        page.write("#rule", text)
        page.click("#new_rule button")
        page.says("is added", "ruled")
        page.browser.until(f"[...document.querySelectorAll('#rule_list .what')].some(r => r.textContent === {text!r})", text)
    camera.shown = images["cat"]
    page.browser.until("document.querySelector('#rule_list .holds .what')?.textContent.startsWith('my cat')", "that it holds")
    page.shoot("rules")
    page.write("#rule", "cat")
    page.click("#new_rule button")
    page.says("a rule reads as", "unruled")
    page.browser.run("document.querySelector(`[aria-label='Remove the rule nobody > 0.5']`).click()")
    page.browser.until("document.querySelectorAll('#rule_list li').length === 2", "one rule less")


def states(page: Checked, program: Program, runtime: str, archive: str, folder: Path) -> Program:
    """Frozen, no connection, and a token that is another one now."""
    shown, program.camera.shown = program.camera.shown, []
    page.browser.until("document.getElementById('lost').textContent.startsWith('Frozen')", "that nothing comes")
    assert page.text("#label") == "–"
    page.shoot("frozen")
    program.camera.shown = shown
    page.browser.until("document.getElementById('lost').hidden", "frames again")
    port = program.address.split(":")[1]
    program.process.send_signal(19)
    page.browser.until("document.getElementById('lost').textContent.startsWith('Busy')", "that it is busy")
    page.shoot("busy")
    program.process.send_signal(18)
    page.browser.until("document.getElementById('lost').hidden", "news again")
    program.end()
    page.browser.until("document.getElementById('lost').textContent.includes('No connection')", "no connection")
    page.shoot("no-connection")
    program = Program(runtime, archive, folder / "page.teach", port=port, token="battery-staple")
    page.browser.until("!document.getElementById('login').hidden", "that the token is needed")
    page.shoot("no-token")
    return program


def main() -> None:
    runtime, archive, pictures = sys.argv[1], sys.argv[2], Path(sys.argv[3]).resolve()
    folder, shots = folders()
    images = scenes(pictures)
    program, browser = Program(runtime, archive, folder / "page.teach"), None
    try:
        program.camera.shown = images["cat"]
        browser = Browser()
        page = Checked(browser, shots)
        show(browser, *VIEWS["desktop"], "light")
        open_page(page, program.address)
        unknown(page, program.camera, images)
        mixed(page, program.camera, images, pictures)
        rules(page, program.camera, images)
        history(page, program.camera, images)
        # What was refused on purpose is an error to the browser.
        refused = ("api/teach", "api/rules")
        errors = [error for error in browser.errors() if not any(path in error for path in refused)]
        assert not errors, errors
        program.end()
        program = Program(runtime, archive, folder / "page.teach")
        program.camera.shown = images["cat"]
        open_page(page, program.address)
        page.browser.until("document.querySelectorAll('#taught img').length >= 5", "small images after a restart")
        assert state(program.address)["model"]["classes"] == 3, "two taught classes and unknown"
        assert len(state(program.address)["rules"]) == 2, "the rules are kept"
        kept = {path.name for path in (folder / "page.teach.images").iterdir()}
        assert {"my cat", "carpet"} <= kept, kept
        program = states(page, program, runtime, archive, folder)
    finally:
        if browser:
            browser.close()
        program.end()
    print(f"kept, named, mixed, searched, and the states of a camera; screenshots in {shots}")


if __name__ == "__main__":
    main()

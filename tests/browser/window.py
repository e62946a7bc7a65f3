"""A browser window that keeps a record of all it asks for and complains of."""

import contextlib
import os

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"


@contextlib.contextmanager
def chromium():
    # Chromium's own sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Window:
    """`page_folder` serves the page's files from there in place of the binary: for work on them without a build."""

    def __init__(self, browser, service, page_folder=None, width=1360, height=900, **options):
        self.asked, self.errors, self.service = [], [], service
        self._context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", **options)
        self._context.on("request", lambda request: self.asked.append(request.url))
        if page_folder:
            self._context.route(f"{service.origin}/", lambda route: self._serve(route, page_folder / "index.html"))
            self._context.route(f"{service.origin}/page/*", lambda route: self._serve(
                route, page_folder / route.request.url.rsplit("/", 1)[1]))
        self.page = self._context.new_page()
        self.page.on("console", lambda message: message.type in ("error", "warning") and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append("a dialog: " + dialog.message), dialog.dismiss()))

    @staticmethod
    def _serve(route, file):
        headers = {"Content-Type": TYPES[file.suffix], "Content-Security-Policy": POLICY}
        route.fulfill(body=file.read_bytes(), headers=headers)

    def open(self, address=""):
        self.page.goto(f"{self.service.origin}/{address}")
        return self.page

    def foreign(self):
        return [url for url in self.asked if not url.startswith(self.service.origin + "/")]

    def close(self):
        self._context.close()

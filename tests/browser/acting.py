"""How tests use a page: the way to press something, and where buttons and rows are."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page

Press = Callable[[Locator], None]
"""Uses a button, link or box."""


def by_mouse(target: Locator) -> None:
    target.click()


def by_keyboard(target: Locator) -> None:
    target.focus()
    target.press("Space" if target.get_attribute("type") == "checkbox" else "Enter")


def button(scope: Page | Locator, name: str) -> Locator:
    return scope.get_by_role("button", name=name, exact=True)


def row(page: Page, text: str) -> Locator:
    return page.locator("tbody tr", has_text=text)

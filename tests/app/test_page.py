"""The search page in a real browser: searches, filters, follows a facet, and asks nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.services.browser import Browser
from tests.app.test_process import folder, serving

pytestmark = pytest.mark.services

TITLES = "[...document.querySelectorAll('#hits h2')].map(one => one.textContent)"
STATUS = "(document.getElementById('status')?.textContent ?? '')"


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[str, str]]:
    with folder() as home, serving(home, "--sample") as (_, url, key):
        yield url, key


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as its:
        yield its


def total(browser: Browser) -> int:
    return int(browser.run(STATUS).split()[0].replace(",", ""))


def test_somebody_searches_filters_follows_a_facet_and_goes_back(
    service: tuple[str, str], browser: Browser, tmp_path: Path
) -> None:
    url, key = service
    browser.open(f"{url}#key={key}")
    browser.wait(f"{STATUS}.startsWith('600 documents')")
    browser.run("document.getElementById('q').value = 'cofee'; document.getElementById('search').requestSubmit()")
    browser.wait(f"{STATUS}.includes('searched for coffee')")
    assert browser.run("document.querySelectorAll('#hits mark').length") > 5
    coffee = total(browser)
    assert 0 < coffee < 100
    # A facet: the number beside it is what there is after it was followed.
    box = "[...document.querySelectorAll('#facets label')].find(one => one.textContent.startsWith('guide'))"
    number = int(browser.run(f"{box}.querySelector('.count').textContent"))
    browser.run(f"{box}.click()")
    browser.wait(f"{STATUS}.startsWith('{number} document')")
    assert all(title.startswith("How to") for title in browser.run(TITLES))
    assert browser.run("document.querySelector('#chips button').textContent") == "Kind: guide \u00d7"
    assert browser.run(f"{box}.querySelector('input').checked") is True
    # The address holds it all.
    kept = browser.run("location.search")
    browser.open("about:blank")
    browser.open(f"{url}{kept}")
    browser.wait(f"document.getElementById('status')?.textContent.startsWith('{number} document')")
    browser.run("document.querySelector('#chips button').click()")
    browser.wait(f"{STATUS}.startsWith('{coffee} documents')")
    browser.run("document.getElementById('more').click()")
    browser.wait("document.querySelectorAll('#hits li').length > 10")
    assert len({*browser.run("[...document.querySelectorAll('#hits li')].map(one => one.innerText)")}) > 10
    assert browser.complaints == []


def test_without_a_key_the_page_says_what_to_do(service: tuple[str, str], browser: Browser) -> None:
    url, key = service
    browser.open(url)
    text = browser.wait("document.querySelector('.problem')?.textContent")
    assert "Send an API key" in text
    assert browser.run("document.getElementById('access').open") is True
    browser.run(f"document.getElementById('key').value = '{key}'; document.getElementById('key-form').requestSubmit()")
    browser.wait(f"{STATUS}.startsWith('600 documents')")
    assert browser.run("document.getElementById('key').value") == ""


def test_the_description_is_a_page_that_needs_no_script(service: tuple[str, str], browser: Browser) -> None:
    url, _ = service
    browser.open(f"{url}docs")
    browser.wait("document.querySelectorAll('article').length > 40")
    assert browser.run("document.scripts.length") == 0
    assert browser.run("getComputedStyle(document.querySelector('.method')).fontWeight") == "700"
    links = "[...document.querySelectorAll('a[href^=\"#\"]')]"
    assert browser.run(f"{links}.filter(one => !document.getElementById(one.hash.slice(1))).length") == 0
    assert browser.complaints == []

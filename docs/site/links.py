#!/usr/bin/env python3
"""Every link of a built site leads to a file of it, and to a place in that file: links.py FOLDER."""
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.places = [], set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places.update(found[name] for name in ("id", "name") if found.get(name))
        self.links.extend(found[name] for name in ("href", "src") if found.get(name))


def read(path):
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


root = Path(sys.argv[1]).resolve()
pages = {path: read(path) for path in root.rglob("*.html")}
# The page for what is not found is served from anywhere; its links are made for the top.
pages = {path: page for path, page in pages.items() if path.name not in ("404.html", "print.html", "toc.html")}
broken, seen = [], 0
for path, page in sorted(pages.items()):
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        seen += 1
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            broken.append(f"{path.relative_to(root)}: {link}")
        # `#show=all&who=lnd` is a choice that a report's own script reads, and no place.
        elif parts.fragment and "=" not in parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
            broken.append(f"{path.relative_to(root)}: {link}: no such place in it")
print(f"{len(pages)} pages, {seen} links, {len(broken)} broken")
print("\n".join(broken))
sys.exit(1 if broken or not pages or not seen else 0)

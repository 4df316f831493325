"""One self-contained HTML page: no script, no request, and no style but its own."""

from base64 import b64encode
from hashlib import sha256

from paring.runtime.tables import plain_html


def page(title: str, body: str, style: str) -> str:
    """A page of this title, which is taken as text; `body` is finished HTML, and `style` is CSS of ours.

    Its policy allows nothing to be loaded or run, and of styles only `style`, by its hash."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{plain_html(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )

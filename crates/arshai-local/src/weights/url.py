"""Downloads files below an address. Arguments: the address, seconds of silence that are borne, most bytes, names."""

import http.client
import os
import sys
import urllib.request
from urllib.parse import urlsplit

BROKEN = 3
TOO_LARGE = 4
REFUSED = 5

address, silence, most, names = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]


def end(status, message):
    print(message, file=sys.stderr)
    sys.exit(status)


class OnlyToHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, target):
        if urlsplit(target).scheme != "https":
            end(REFUSED, "the server redirects to an address that is not https")
        return super().redirect_request(request, file, code, message, headers, target)


opener = urllib.request.build_opener(OnlyToHttps)


def answer_to(name, method):
    return opener.open(urllib.request.Request(f"{address}/{name}", method=method), timeout=silence)


def length_of(name):
    """Bytes, or 0 when the server does not say."""
    try:
        with answer_to(name, "HEAD") as answer:
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError, http.client.HTTPException):
        return 0


def download(name, allowed):
    count = 0
    with answer_to(name, "GET") as answer, open(name, "wb") as out:
        length = answer.headers.get("Content-Length")
        try:
            while block := answer.read(1 << 16):
                count += len(block)
                if count > allowed:
                    end(TOO_LARGE, f"{name} is larger than is allowed")
                out.write(block)
        except (http.client.IncompleteRead, ConnectionResetError):
            end(BROKEN, f"{name} broke off after {count} bytes")
    if length is not None and count != int(length):
        end(BROKEN, f"{name} ended after {count} of {length} bytes")
    return count


lengths = [length_of(name) for name in names]
with open("total.new", "w") as out:
    out.write(str(sum(lengths) if all(lengths) else 0))
os.rename("total.new", "total")
for name in names:
    most -= download(name, most)

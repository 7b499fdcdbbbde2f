"""urllib3, and requests on top of it."""

import requests
import urllib3


def scenario(seen, addresses):
    port = addresses["http"]
    name = f"http 127.0.0.1:{port}"
    base = f"http://user:secret@127.0.0.1:{port}"
    seen(name, lambda: requests.get(base + "/status/200?token=secret").text)
    seen(name, lambda: requests.post(base + "/status/201", json={"a": 1}).status_code)
    seen(name, lambda: requests.get(base + "/moved/", allow_redirects=False).status_code)
    seen(name, lambda: requests.get(base + "/moved/").status_code, calls=2)
    seen(name, lambda: requests.get(base + "/status/404").status_code)
    seen(name, lambda: requests.get(base + "/status/500").status_code, "error")
    seen(name, lambda: requests.get(base + "/status/503").status_code, "error")
    seen(name, lambda: requests.get(base + "/status/503?retry").status_code, "throttled")
    seen(name, lambda: requests.get(base + "/status/429").status_code, "throttled")
    seen(name, lambda: requests.get(base + "/slow/5", timeout=0.2), "timeout")
    seen("http 127.0.0.1:1", lambda: requests.get("http://127.0.0.1:1/"), "refused")
    seen("http name.invalid", lambda: requests.get("http://name.invalid/"), "refused")
    seen(name, lambda: requests.get(base + "/status/200", proxies={"http": "http://127.0.0.1:1"}), "refused")
    with requests.get(base + "/status/200", stream=True) as response:
        seen(None, lambda: b"".join(response.iter_content(1)).decode())
    seen.expect(name)
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, block=True)
    seen(name, lambda: pool.request("GET", "/status/200").data.decode())
    held = pool.urlopen("GET", "/status/200", preload_content=False)
    seen.expect(name)
    seen(name, lambda: pool.urlopen("GET", "/status/200", pool_timeout=0.1), "exhausted")
    held.release_conn()
    retries = urllib3.Retry(2, status_forcelist=[503], backoff_factor=0)
    seen(name, lambda: urllib3.PoolManager().request("GET", base + "/status/503", retries=retries), "error")

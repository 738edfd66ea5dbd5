"""What the API answers: status, keys, and the error's text where the real one states it."""

import pytest
import requests
import toxiproxy
from proxy_servers import Http, Server
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists
from upstreams import connect

UPSTREAM = "127.0.0.1:1"  # nothing has to listen there
PROXY_KEYS = {"name", "listen", "upstream", "enabled", "toxics"}
TOXIC_KEYS = {"attributes", "name", "type", "stream", "toxicity"}
MISSING_PORT = "address nowhere: missing port in address"
BAD_BODY = "bad request body: "
NO_VALUE = BAD_BODY + "invalid character 'h' looking for beginning of value"
MISFIT = BAD_BODY + "json: cannot unmarshal "
BAD_STREAM = "stream was invalid, can be either upstream or downstream"

NEW = {"name": "new", "listen": "127.0.0.1:0", "upstream": UPSTREAM}
ATTRIBUTES = {
    "bandwidth": {"rate"},
    "latency": {"latency", "jitter"},
    "limit_data": {"bytes"},
    "noop": set(),
    "reset_peer": {"timeout"},
    "slicer": {"average_size", "size_variation", "delay"},
    "slow_close": {"delay"},
    "timeout": {"timeout"},
}

ERRORS = [
    # reading a body
    ("POST", "/proxies", "", 400, BAD_BODY + "EOF"),
    ("POST", "/proxies", "hello", 400, NO_VALUE),
    ("POST", "/proxies", '{"name":', 400, BAD_BODY + "unexpected EOF"),
    ("POST", "/proxies", '{"name" 5}', 400,
     BAD_BODY + "invalid character '5' after object key"),
    ("POST", "/proxies", '{"name": "a" "b"}', 400,
     BAD_BODY + "invalid character '\"' after object key:value pair"),
    ("POST", "/proxies", "{name: 5}", 400,
     BAD_BODY + "invalid character 'n' looking for beginning of object key string"),
    ("POST", "/proxies", "[]", 400, MISFIT + "array into Go value of type toxiproxy.Proxy"),
    ("POST", "/proxies", {"name": 5}, 400,
     MISFIT + "number into Go struct field Proxy.name of type string"),
    ("POST", "/proxies", {"name": "a", "enabled": "yes"}, 400,
     MISFIT + "string into Go struct field Proxy.enabled of type bool"),
    # creating proxies
    ("POST", "/proxies", {}, 400, "missing required field: name"),
    ("POST", "/proxies", "null", 400, "missing required field: name"),
    ("POST", "/proxies", {"name": "a"}, 400, "missing required field: upstream"),
    ("POST", "/proxies", {**NEW, "name": "known"}, 409, "proxy already exists"),
    ("POST", "/proxies", {**NEW, "listen": "nowhere"}, 500, f"listen tcp: {MISSING_PORT}"),
    ("POST", "/proxies", {**NEW, "listen": "127.0.0.1:99999"}, 500,
     "listen tcp: address 99999: invalid port"),
    ("POST", "/proxies", {**NEW, "listen": "127.0.0.1:no-such"}, 500,
     "listen tcp: lookup tcp/no-such: unknown port"),
    ("POST", "/proxies", {**NEW, "listen": "a:b:c"}, 500,
     "listen tcp: address a:b:c: too many colons in address"),
    ("POST", "/proxies", {**NEW, "listen": "192.0.2.1:4000"}, 500,
     "listen tcp 192.0.2.1:4000: bind: cannot assign requested address"),
    # finding and changing proxies
    ("GET", "/proxies/unknown", None, 404, "proxy not found"),
    ("PATCH", "/proxies/unknown", {}, 404, "proxy not found"),
    ("DELETE", "/proxies/unknown", None, 404, "proxy not found"),
    ("POST", "/proxies/known", "hello", 400, NO_VALUE),
    ("PATCH", "/proxies/known", "", 400, BAD_BODY + "EOF"),
    ("PATCH", "/proxies/known", {"listen": "nowhere"}, 500, MISSING_PORT),
    ("PATCH", "/proxies/known", {"enabled": 1}, 400,
     MISFIT + "number into Go struct field Proxy.enabled of type bool"),
    # creating toxics
    ("GET", "/proxies/unknown/toxics", None, 404, "proxy not found"),
    ("POST", "/proxies/unknown/toxics", {"type": "latency"}, 404, "proxy not found"),
    ("POST", "/proxies/known/toxics", "hello", 400, NO_VALUE),
    ("POST", "/proxies/known/toxics", {}, 400, "invalid toxic type"),
    ("POST", "/proxies/known/toxics", {"type": "gremlin"}, 400, "invalid toxic type"),
    ("POST", "/proxies/known/toxics", {"type": "latency", "stream": "up"}, 400, BAD_STREAM),
    ("POST", "/proxies/known/toxics", {"type": "timeout", "name": "slow"}, 409,
     "toxic already exists"),
    ("POST", "/proxies/known/toxics", {"type": "latency", "toxicity": "x"}, 400,
     MISFIT + "string into Go struct field ToxicWrapper.toxicity of type float32"),
    ("POST", "/proxies/known/toxics", {"type": "latency", "attributes": {"latency": "x"}},
     400, MISFIT
     + "string into Go struct field LatencyToxic.attributes.latency of type int64"),
    ("POST", "/proxies/known/toxics", {"type": "latency", "attributes": {"jitter": 1.5}},
     400, MISFIT
     + "number 1.5 into Go struct field LatencyToxic.attributes.jitter of type int64"),
    ("POST", "/proxies/known/toxics", {"type": "reset_peer", "attributes": {"timeout": 2**70}},
     400, MISFIT + f"number {2**70}"
     " into Go struct field ResetToxic.attributes.timeout of type int64"),
    ("POST", "/proxies/known/toxics", {"type": "slicer", "attributes": {"delay": True}},
     400, MISFIT + "bool into Go struct field SlicerToxic.attributes.delay of type int"),
    # finding and changing toxics
    ("GET", "/proxies/known/toxics/unknown", None, 404, "toxic not found"),
    ("GET", "/proxies/unknown/toxics/slow", None, 404, "proxy not found"),
    ("PATCH", "/proxies/known/toxics/unknown", {}, 404, "toxic not found"),
    ("DELETE", "/proxies/known/toxics/unknown", None, 404, "toxic not found"),
    ("POST", "/proxies/known/toxics/slow", "hello", 400, NO_VALUE),
    ("PATCH", "/proxies/known/toxics/slow", {"attributes": {"latency": "x"}}, 400, MISFIT
     + "string into Go struct field LatencyToxic.attributes.latency of type int64"),
    ("PATCH", "/proxies/known/toxics/slow", {"toxicity": "x"}, 400,
     MISFIT + "string into Go struct field .toxicity of type float32"),
]


@pytest.fixture
def known(toxi: toxiproxy.Toxiproxy) -> toxiproxy.Proxy:
    """A proxy "known" that has a toxic "slow"."""
    proxy = toxi.create(name="known", upstream=UPSTREAM)
    proxy.add_toxic(name="slow", type="latency", attributes={"latency": 5, "jitter": 1})
    return proxy


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "error"), ERRORS,
        ids=[f"{method} {path} {body}" for method, path, body, *_ in ERRORS],
    )
    def test_status_and_text(self, known, http: Http, method, path, body, status, error):
        before = http("GET", "/proxies").json()
        response = http(method, path, body)
        assert response.status_code == status
        assert response.json() == {"error": error, "status": status}
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert http("GET", "/proxies").json() == before

    def test_listen_address_in_use(self, known, http: Http):
        response = http("POST", "/proxies", {**NEW, "listen": known.listen})
        assert response.status_code == 500
        assert response.json()["error"] == (
            f"listen tcp {known.listen}: bind: address already in use"
        )

    def test_listen_host_unknown(self, http: Http):
        response = http("POST", "/proxies", {**NEW, "listen": "no-such-host.invalid:0"})
        assert response.status_code == 500
        assert response.json()["error"].startswith("listen tcp: lookup no-such-host.invalid")

    def test_first_wrong_field_is_told_the_others_are_set(self, known, http: Http):
        body = {"attributes": {"jitter": "x", "latency": 7}}
        response = http("PATCH", "/proxies/known/toxics/slow", body)
        assert response.status_code == 400
        toxic = http("GET", "/proxies/known/toxics/slow").json()
        assert toxic["attributes"] == {"latency": 7, "jitter": 1}

    @pytest.mark.parametrize("path", ["/", "/nowhere", "/proxies/", "/proxies/a/b", "/reset/"])
    def test_unknown_path(self, http: Http, path):
        response = http("GET", path)
        assert (response.status_code, response.text) == (404, "404 page not found\n")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("PUT", "/proxies"), ("GET", "/reset"), ("GET", "/populate"), ("POST", "/version"),
         ("PUT", "/proxies/known"), ("DELETE", "/proxies/known/toxics")],
    )
    def test_wrong_method(self, known, http: Http, method, path):
        response = http(method, path)
        assert (response.status_code, response.text) == (405, "")

    def test_browsers_are_refused(self, http: Http):
        response = http("GET", "/proxies", headers={"User-Agent": "Mozilla/5.0"})
        assert (response.status_code, response.text) == (403, "User agent not allowed\n")


class TestProxies:
    def test_version(self, http: Http):
        response = http("GET", "/version")
        assert response.status_code == 200
        assert set(response.json()) == {"version"}
        assert response.headers["Content-Type"] == "application/json;charset=utf-8"

    def test_no_proxies(self, toxi, http: Http):
        response = http("GET", "/proxies")
        assert (response.status_code, response.json()) == (200, {})
        assert response.headers["Content-Type"] == "application/json"

    def test_create(self, toxi, http: Http):
        response = http("POST", "/proxies", NEW)
        proxy = response.json()
        assert response.status_code == 201
        assert set(proxy) - {"Logger"} == PROXY_KEYS
        assert (proxy["name"], proxy["upstream"]) == ("new", UPSTREAM)
        assert (proxy["enabled"], proxy["toxics"]) == (True, [])
        assert http("GET", "/proxies/new").json() == proxy
        assert http("GET", "/proxies").json() == {"new": proxy}

    def test_created_proxy_listens_where_it_says(self, toxi, http: Http):
        listen = http("POST", "/proxies", {**NEW, "listen": "localhost:0"}).json()["listen"]
        host, port = listen.split(":")
        assert host == "127.0.0.1"
        assert port != "0"
        connect(listen).close()

    @pytest.mark.parametrize("listen", ["", ":0", "0.0.0.0:0"])
    def test_no_host_is_every_interface(self, toxi, http: Http, listen):
        address = http("POST", "/proxies", {**NEW, "listen": listen}).json()["listen"]
        host, port = address.rsplit(":", 1)
        assert host == "[::]"
        connect(f"127.0.0.1:{port}").close()

    def test_create_disabled(self, toxi, http: Http):
        response = http("POST", "/proxies", {**NEW, "enabled": False})
        assert response.status_code == 201
        assert response.json()["enabled"] is False
        assert response.json()["listen"] == NEW["listen"]

    def test_names_in_any_case_and_what_follows_the_body(self, toxi, http: Http):
        body = '{"NAME": "new", "Listen": "127.0.0.1:0", "upSTREAM": "%s"} and so on' % UPSTREAM
        assert http("POST", "/proxies", body).status_code == 201
        assert http("GET", "/proxies/new").status_code == 200

    def test_unknown_fields_and_nulls_are_ignored(self, toxi, http: Http):
        response = http("POST", "/proxies", {**NEW, "enabled": None, "colour": "red"})
        assert response.status_code == 201
        assert response.json()["enabled"] is True

    def test_name_that_needs_escaping(self, toxi, http: Http):
        http("POST", "/proxies", {**NEW, "name": "a b%é"})
        assert http("GET", "/proxies/a%20b%25%C3%A9").json()["name"] == "a b%é"

    def test_chunked_body(self, toxi, server: Server):
        def body():
            yield b'{"name": "new", "listen": "127.0.0.1:0", '
            yield b'"upstream": "127.0.0.1:1"}'

        response = requests.post(f"{server.url}/proxies", data=body(), timeout=10)
        assert response.status_code == 201

    def test_update_answers_with_the_proxy(self, known, http: Http):
        response = http("PATCH", "/proxies/known", {"upstream": "127.0.0.1:2"})
        proxy = response.json()
        assert response.status_code == 200
        assert set(proxy) - {"Logger"} == PROXY_KEYS
        assert (proxy["upstream"], proxy["listen"]) == ("127.0.0.1:2", known.listen)
        assert proxy["enabled"] is True
        assert [toxic["name"] for toxic in proxy["toxics"]] == ["slow"]

    def test_update_cannot_rename(self, known, http: Http):
        assert http("POST", "/proxies/known", {"name": "other"}).json()["name"] == "known"

    def test_delete(self, known, http: Http):
        response = http("DELETE", "/proxies/known")
        assert (response.status_code, response.content) == (204, b"")
        assert http("GET", "/proxies").json() == {}

    def test_reset_answers_nothing(self, known, http: Http):
        response = http("POST", "/reset")
        assert (response.status_code, response.content) == (204, b"")
        assert http("GET", "/proxies/known/toxics").json() == []

    def test_one_connection_takes_many_requests(self, toxi, http: Http):
        answers = [http("GET", "/version") for _ in range(5)]
        assert all(answer.headers.get("Connection") != "close" for answer in answers)


class TestPopulate:
    def test_creates_in_order(self, toxi, http: Http):
        response = http("POST", "/populate", [NEW, {**NEW, "name": "off", "enabled": False}])
        assert response.status_code == 201
        assert set(response.json()) == {"proxies"}
        proxies = response.json()["proxies"]
        assert [(p["name"], p["enabled"]) for p in proxies] == [("new", True), ("off", False)]
        assert set(proxies[0]) - {"Logger"} == PROXY_KEYS

    def test_nothing(self, toxi, http: Http):
        response = http("POST", "/populate", [])
        assert (response.status_code, response.json()) == (201, {"proxies": None})

    def test_same_addresses_leave_a_proxy_alone(self, known, http: Http):
        same = {"name": "known", "listen": known.listen, "upstream": known.upstream}
        proxy, = http("POST", "/populate", [same]).json()["proxies"]
        assert [toxic["name"] for toxic in proxy["toxics"]] == ["slow"]

    def test_other_addresses_replace_a_proxy(self, known, http: Http):
        other = {"name": "known", "listen": known.listen, "upstream": "127.0.0.1:2"}
        proxy, = http("POST", "/populate", [other]).json()["proxies"]
        assert (proxy["upstream"], proxy["toxics"]) == ("127.0.0.1:2", [])
        assert proxy["listen"] == known.listen

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ("hello", NO_VALUE),
            ([NEW, {"upstream": UPSTREAM}], "missing required field: name at proxy 2"),
            ([NEW, {"name": "b"}], "missing required field: upstream at proxy 2"),
            ([{"name": 5}], MISFIT + "number into Go struct field .Proxy.name of type string"),
        ],
    )
    def test_bad_body_creates_nothing(self, toxi, http: Http, body, error):
        response = http("POST", "/populate", body)
        assert response.status_code == 400
        assert response.json() == {"error": error, "status": 400, "proxies": None}
        assert response.headers["Content-Type"] == "application/json"
        assert http("GET", "/proxies").json() == {}

    def test_object_is_refused(self, toxi, http: Http):
        response = http("POST", "/populate", {})
        assert response.status_code == 400
        assert response.json()["error"].startswith(MISFIT + "object into Go value of type []")

    def test_failure_keeps_what_came_before(self, toxi, http: Http):
        bad, last = {**NEW, "name": "b", "listen": "nowhere"}, {**NEW, "name": "c"}
        response = http("POST", "/populate", [NEW, bad, last])
        assert response.status_code == 500
        assert response.json()["error"] == f"listen tcp: {MISSING_PORT}"
        assert [proxy["name"] for proxy in response.json()["proxies"]] == ["new"]
        assert set(http("GET", "/proxies").json()) == {"new"}


class TestToxics:
    @pytest.mark.parametrize("kind", sorted(ATTRIBUTES))
    def test_defaults(self, toxi, http: Http, kind):
        http("POST", "/proxies", NEW)
        response = http("POST", "/proxies/new/toxics", {"type": kind})
        toxic = response.json()
        assert response.status_code == 200
        assert set(toxic) == TOXIC_KEYS
        assert toxic["attributes"] == dict.fromkeys(ATTRIBUTES[kind], 0)
        assert (toxic["name"], toxic["type"]) == (f"{kind}_downstream", kind)
        assert (toxic["stream"], toxic["toxicity"]) == ("downstream", 1)

    def test_settings_are_kept(self, known, http: Http):
        toxic = {
            "name": "mine", "type": "slicer", "stream": "upstream", "toxicity": 0.25,
            "attributes": {"average_size": 3, "size_variation": 2, "delay": 1},
        }
        assert http("POST", "/proxies/known/toxics", toxic).json() == toxic
        assert http("GET", "/proxies/known/toxics/mine").json() == toxic

    def test_stream_in_any_case_is_shown_as_it_came(self, known, http: Http):
        body = {"type": "latency", "stream": "UpStream"}
        toxic = http("POST", "/proxies/known/toxics", body).json()
        assert (toxic["name"], toxic["stream"]) == ("latency_UpStream", "UpStream")

    def test_toxicity_has_single_precision(self, known, http: Http):
        body = {"type": "noop", "toxicity": 0.123456789}
        assert http("POST", "/proxies/known/toxics", body).json()["toxicity"] == 0.12345679

    def test_one_name_for_both_streams(self, known, http: Http):
        body = {"type": "latency", "stream": "upstream", "name": "slow"}
        assert http("POST", "/proxies/known/toxics", body).status_code == 409

    def test_listed_upstream_first_then_by_age(self, known, http: Http):
        for name, stream in [("b", "downstream"), ("c", "upstream"), ("a", "upstream")]:
            known.add_toxic(name=name, type="noop", stream=stream)
        listed = [toxic["name"] for toxic in http("GET", "/proxies/known/toxics").json()]
        assert listed == ["c", "a", "slow", "b"]
        shown = http("GET", "/proxies/known").json()["toxics"]
        assert [toxic["name"] for toxic in shown] == listed

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_update_changes_what_it_names(self, known, http: Http, method):
        change = {"attributes": {"latency": 9}, "toxicity": 0.5}
        fixed = {"name": "x", "stream": "upstream"}
        response = http(method, "/proxies/known/toxics/slow", {**change, **fixed})
        assert response.status_code == 200
        assert response.json() == {
            "attributes": {"latency": 9, "jitter": 1}, "name": "slow", "type": "latency",
            "stream": "downstream", "toxicity": 0.5,
        }

    def test_delete(self, known, http: Http):
        response = http("DELETE", "/proxies/known/toxics/slow")
        assert (response.status_code, response.content) == (204, b"")
        assert http("GET", "/proxies/known/toxics").json() == []


class TestLibrary:
    """toxiproxy-python, call by call."""

    def test_server(self, toxi: toxiproxy.Toxiproxy):
        assert toxi.running()
        assert b"version" in toxi.version()

    def test_proxies(self, toxi: toxiproxy.Toxiproxy):
        created = toxi.create(name="mine", upstream=UPSTREAM)
        found = toxi.get_proxy("mine")
        assert found.listen == created.listen
        assert found.enabled is True
        assert toxi.get_proxy("yours") is None
        assert toxi.destroy(found)
        assert toxi.proxies() == {}

    def test_populate(self, toxi: toxiproxy.Toxiproxy):
        toxi.populate([NEW, {**NEW, "name": "other"}])
        assert set(toxi.proxies()) == {"new", "other"}

    def test_toxics(self, known: toxiproxy.Proxy):
        toxic = known.get_toxic("slow")
        assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 1)
        assert toxic.attributes == {"latency": 5, "jitter": 1}
        assert known.destroy_toxic("slow")
        assert known.toxics() == {}

    def test_errors(self, toxi: toxiproxy.Toxiproxy, known: toxiproxy.Proxy):
        with pytest.raises(ProxyExists):
            toxi.create(name="known", upstream=UPSTREAM)
        with pytest.raises(ProxyExists, match="toxic already exists"):
            known.add_toxic(name="slow", type="latency")
        with pytest.raises(InvalidToxic, match="invalid toxic type"):
            known.add_toxic(type="gremlin")
        with pytest.raises(NotFound, match="toxic not found"):
            known.destroy_toxic("fast")

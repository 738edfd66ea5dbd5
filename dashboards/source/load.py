"""The load, as the clients see it: what Locust counts."""

from dashboards.parts import Query, Value, above, below, dashboard, graph, stats

QUANTILE = "histogram_quantile({}, sum by (le, endpoint) (rate(load_request_duration_seconds_bucket[$__rate_interval])))"


def build():
    return dashboard(
        "load", "Load",
        "What the clients send and get, as they count it themselves: the steady traffic of the lab. A load test by hand has "
        "its own page (make load).",
        [
            ("At a glance", [
                stats("Users", "Simulated clients that send requests.", Value("users", "sum(load_users)", "none", below(1))),
                stats("Requests", "A second, of all users.", Value("requests", "client:requests:rate30s", "reqps", below(0.1)), width=5),
                stats("Answered with success", "Share of the requests of the last 30 s.",
                      Value("answered", "client:requests:availability_ratio_rate30s", "percentunit", below(0.999, 0.99), 1), width=5),
                stats("Time to an answer, median", "Half of all requests are answered faster.",
                      Value("p50", QUANTILE.replace("le, endpoint", "le").format(0.5), "s", above(0.1, 0.5)), width=5),
                stats("Time to an answer, p99", "One request in a hundred takes longer.",
                      Value("p99", QUANTILE.replace("le, endpoint", "le").format(0.99), "s", above(0.25, 1)), width=5),
            ]),
            ("Requests", [
                graph("By outcome", "ok: a promise. rejected: 503, come back. unknown: 504 or no answer. error: anything else.", "reqps",
                      Query("sum by (outcome) (rate(load_requests_total[$__rate_interval]))", "{{outcome}}"), stacked=True, to="producer"),
                graph("By endpoint", "Single messages, and a batch now and then.", "reqps",
                      Query("sum by (endpoint) (rate(load_requests_total[$__rate_interval]))", "{{endpoint}}"), stacked=True),
                graph("Failures, by endpoint", "Share of the requests of each endpoint that were not answered with success.", "percentunit",
                      Query('sum by (endpoint) (rate(load_requests_total{outcome!="ok"}[$__rate_interval]))'
                            " / sum by (endpoint) (rate(load_requests_total[$__rate_interval]))", "{{endpoint}}"), limits=above(0.01)),
            ]),
            ("Time to an answer", [
                graph("Median", "By endpoint, as the clients measure it.", "s", Query(QUANTILE.format(0.5), "{{endpoint}}")),
                graph("p90", "By endpoint, as the clients measure it.", "s", Query(QUANTILE.format(0.9), "{{endpoint}}")),
                graph("p99", "By endpoint, as the clients measure it.", "s", Query(QUANTILE.format(0.99), "{{endpoint}}"), limits=above(1)),
            ]),
            ("Clients and server", [
                graph("Requests, counted at both ends", "The clients' count and the producer's. Where they differ, requests are lost on the way, or unanswered.", "reqps",
                      Query("sum(rate(load_requests_total[$__rate_interval]))", "clients"),
                      Query('sum(rate(http_request_duration_seconds_count{route=~".*produce"}[$__rate_interval]))', "producer"), width=12),
                graph("Users", "Clients that send. Steps are somebody who changes the load.", "none", Query("sum(load_users)", "users"), width=12),
            ]),
        ])

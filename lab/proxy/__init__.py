"""An embedded stand-in for Toxiproxy 2.12: same HTTP API, same toxics, same metrics.

It serves where the real one cannot be had, and needs nothing but Python. Run it with
``python -m lab.proxy --host 127.0.0.1 --port 8474``. Its parts, from the outside in:

    httpd -> api -> collection -> proxy -> chain -> link -> stub -> toxics

A *proxy* accepts clients and dials its upstream. Each connection is two *links*, one a
direction. A link is a pipeline of *stubs*, and each stub runs one *toxic* of the proxy's
*chain*. tests/conformance holds it to the behaviour of the real one.
"""

VERSION = "2.12.0-standin"

"""The errors the API answers with; texts and codes are Toxiproxy's (api.go)."""


class ProxyError(Exception):
    """A request that cannot be done, with the HTTP status that says why.

    A plain Go error has no status of its own: Toxiproxy answers it with 500.
    """

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def as_json(self) -> dict:
        return {"error": self.message, "status": self.status}


def bad_request_body(reason: str) -> ProxyError:
    return ProxyError(f"bad request body: {reason}", 400)


def missing_field(name: str) -> ProxyError:
    return ProxyError(f"missing required field: {name}", 400)


def proxy_not_found() -> ProxyError:
    return ProxyError("proxy not found", 404)


def proxy_already_exists() -> ProxyError:
    return ProxyError("proxy already exists", 409)


def invalid_stream() -> ProxyError:
    return ProxyError("stream was invalid, can be either upstream or downstream", 400)


def invalid_toxic_type() -> ProxyError:
    return ProxyError("invalid toxic type", 400)


def toxic_already_exists() -> ProxyError:
    return ProxyError("toxic already exists", 409)


def toxic_not_found() -> ProxyError:
    return ProxyError("toxic not found", 404)

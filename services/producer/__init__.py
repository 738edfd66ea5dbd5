"""Takes messages over HTTP and publishes them; answers 2xx only for what the broker confirmed."""

"""HTTP/1.1 in the hands of any client: a strict parser, a deadline for every wait, and bounds on what is kept."""

"""What producer and consumer must agree on: schema, topology, connection, settings, logs."""

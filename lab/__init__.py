"""The control plane: runs the stack, injects faults, grades. Touches the services only from outside."""

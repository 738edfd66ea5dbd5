"""What we are measured against, one file each, written as its framework's documentation has it."""

"""The stack in containers: docker-compose.yml, driven through the command lines of Docker and Compose."""

"""What an attack finds on the host: canaries that the self-test plants, and removes again."""

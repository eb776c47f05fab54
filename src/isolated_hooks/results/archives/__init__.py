"""The deep check of wheels and sdists, without extracting them."""

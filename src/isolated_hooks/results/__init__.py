"""What a hook left behind, vetted before the frontend sees any of it."""

"""The hook's results, which we vet before the frontend sees any of them."""

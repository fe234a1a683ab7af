"""Models: their cards, the store that fetches and checks them, the runtimes that run them."""

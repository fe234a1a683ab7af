"""Foundation encoders: published networks that turn satellite series into embeddings."""

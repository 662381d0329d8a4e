"""What comes before a model's call: files that rows name, and processors of their values."""

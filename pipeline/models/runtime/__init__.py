"""What runs a transformer: OpenVINO and torch, batches, outputs."""

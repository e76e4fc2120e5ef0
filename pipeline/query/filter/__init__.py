"""Conditions on metadata: what they may say, and which chunks satisfy them."""

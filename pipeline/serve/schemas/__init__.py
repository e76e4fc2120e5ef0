"""What requests and answers look like: pydantic models, of which the OpenAPI document is made."""

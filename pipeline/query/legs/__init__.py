"""The legs of a hybrid search: each finds candidates over a component, and scores any chunk exactly."""

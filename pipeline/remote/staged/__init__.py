"""What machines that divide an encoding leave for each other in the object store: a plan, its texts, shards."""

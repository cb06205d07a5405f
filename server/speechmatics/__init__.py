"""What all of Speechmatics' interfaces share: configuration, results, the container."""
